"""How much memory a process takes, and what the U-Net's input pipeline takes of it for datasets of several sizes."""

import resource
import sys
import time
from pathlib import Path

MIB = 2**20


def peak_memory():
    """The most memory that this process has had in use so far (resident set), in bytes."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):  # unlike `ru_maxrss`, not inherited from the process that started this one
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class PipelineMemory:
    """Reads training data of photos that are decoded as they come, as those of a prepared dataset are.

    Args:
        cache: a name in `tfseg.data.CACHES`.
        count: number of photos.
        image_size: side of the training images in pixels.
        folder: where `"disk"` caches.
    """

    SIDES = (375, 500)  # of a photo, as in Oxford-IIIT Pet

    def __init__(self, cache, count, image_size, folder):
        self.options = {"cache": cache, "cache_folder": folder}
        self.count, self.image_size = count, image_size

    def measure(self):
        """Reads two epochs.

        Returns:
            Dictionary: `start` and `peak`, the process's memory in bytes before and after; `images_per_second` of the
            second epoch.
        """
        from tfseg.data import TrainingData

        examples = self.photos()
        for _ in examples.take(8):  # what decoding itself takes is not the cache's
            pass
        start = peak_memory()
        data = TrainingData(examples, self.image_size, 8, "foreground", **self.options)
        for epoch in range(2):
            started = time.perf_counter()
            for _ in data.epoch(epoch):
                pass
            seconds = time.perf_counter() - started
        return {"start": start, "peak": peak_memory(), "images_per_second": data.steps * 8 / seconds}

    def photos(self):
        """Examples like those of `oxford_iiit_pet`: one photo, decoded as often as there are examples."""
        import numpy as np
        import tensorflow as tf

        from tfseg.data import PARALLEL_CALLS

        random = np.random.default_rng(0)
        image = tf.image.resize(random.integers(0, 256, (12, 16, 3)).astype("float32"), self.SIDES)
        trimap = tf.image.resize(random.integers(1, 4, (12, 16, 1)).astype("uint8"), self.SIDES, method="nearest")
        photo, mask = tf.io.encode_jpeg(tf.cast(image, tf.uint8)), tf.io.encode_png(trimap)

        def decode(_):
            return {"image": tf.io.decode_jpeg(photo, 3), "segmentation_mask": tf.io.decode_png(mask, 1)}

        return tf.data.Dataset.range(self.count).map(decode, PARALLEL_CALLS)
