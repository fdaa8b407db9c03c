"""How much memory a process takes, and what the U-Net's input pipeline takes of it for datasets of several sizes."""

import resource
import sys
import tempfile
import time
from pathlib import Path

from experiments.benchmarks.processes import Child
from experiments.harness.reporting import report

MIB = 2**20

READS = [(cache, photos) for cache in ("memory", "disk", "none") for photos in (500, 2000)]
PHOTO_SIDES, IMAGE_SIZE = (375, 500), 256  # pixels: of a photo, as in Oxford-IIIT Pet, and of a training image


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

    `cache` is a name in `tfseg.data.CACHES`, `count` the number of photos, and `folder` where `"disk"` caches.
    """

    def __init__(self, cache, count, folder):
        self.options, self.count = {"cache": cache, "cache_folder": folder}, count

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
        data = TrainingData(examples, IMAGE_SIZE, 8, "foreground", **self.options)
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
        image = tf.image.resize(random.integers(0, 256, (12, 16, 3)).astype("float32"), PHOTO_SIDES)
        trimap = tf.image.resize(random.integers(1, 4, (12, 16, 1)).astype("uint8"), PHOTO_SIDES, method="nearest")
        photo, mask = tf.io.encode_jpeg(tf.cast(image, tf.uint8)), tf.io.encode_png(trimap)

        def decode(_):
            return {"image": tf.io.decode_jpeg(photo, 3), "segmentation_mask": tf.io.decode_png(mask, 1)}

        return tf.data.Dataset.range(self.count).map(decode, PARALLEL_CALLS)


def measure_pipeline_memory(progress):
    """The memory of the input pipeline by cache and size of the data, each in a process of its own, for the record."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for cache, photos in READS:
            with Child("experiments.benchmarks.memory:PipelineMemory", cache, photos, folder) as child:
                rows.append({"cache": cache, "photos": photos, **child.call("measure")})
            taken = (rows[-1]["peak"] - rows[-1]["start"]) / MIB
            progress.say(f"input pipeline, cache {cache}, {photos} photos", f"{taken:.0f} MiB", taken=1)
    return {"image_size": IMAGE_SIZE, "rows": rows}


def tell_pipeline_memory(memory):
    """Paragraphs on what the input pipeline takes, by kind of cache."""
    caches = {}
    for row in memory["rows"]:
        caches.setdefault(row["cache"], []).append(row)
    photos = [row["photos"] for row in next(iter(caches.values()))]
    header = ["cache", *[f"MiB, {count:,} photos" for count in photos], "images/s, second epoch"]
    rows = []
    for cache, found in caches.items():
        taken = [f"{(row['peak'] - row['start']) / MIB:,.0f}" for row in found]
        rows.append([f"`{cache}`", *taken, f"{found[-1]['images_per_second']:,.0f}"])
    text = (
        f"What reading training data takes beyond TensorFlow itself, for datasets of different size, by `--cache` of "
        f"`run_unet_matrix.py`: photos of 375 x 500 pixels, training images of {memory['image_size']} x "
        f"{memory['image_size']}."
    )
    return ["### Memory of the U-Net's input pipeline", text, report.table(header, rows)]
