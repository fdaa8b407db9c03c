"""From TFDS examples of a segmentation dataset to batches of (image, target).

A dataset example holds `image` (uint8, any size) and `segmentation_mask`. In Oxford-IIIT Pet that is a trimap (uint8,
1 = pet, 2 = background, 3 = border; Parkhi et al. 2012). It travels through resizing and augmentation as it is, always
resampled nearest, and turns into a target last, under one of three policies (`TARGETS`). Under a fourth, `IDS`, masks
hold class ids, 255 (`tfseg.classes.IGNORE`) where a pixel is to be ignored, and are the target as they are.
"""

import os
import shutil
import tempfile
import weakref

import tensorflow as tf

from tfseg.checks import in_one_line
from tfseg.classes import IGNORE
from tfseg.targets import BACKGROUND, IDS, checked_examples, counted, target_from_trimap

PARALLEL_CALLS = os.cpu_count() or 1
CACHES = ("memory", "disk", "none")
SHUFFLE_BYTES = 128 * 2**20  # of images in the shuffle buffer, where they are not in memory anyway


def resize_example(example, size):
    """Resizes one TFDS example to a square: the image bilinear and antialiased, the trimap nearest.

    Args:
        example: dictionary with `image` `(h, w, 3)` and `segmentation_mask` `(h, w, 1)`.
        size: side of the square, in pixels.

    Returns:
        `(image, trimap)`: uint8 `(size, size, 3)` in [0, 255] and uint8 `(size, size, 1)` in {1, 2, 3}.
    """
    image = tf.image.resize(example["image"], (size, size), antialias=True)
    trimap = tf.image.resize(example["segmentation_mask"], (size, size), method="nearest")
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8), trimap


def augment(images, trimaps, seed, size, strength=1.0, outside=BACKGROUND):
    """Flips, scales, crops and recolours a batch; image and trimap go through the same geometry.

    Each image gets a horizontal flip with probability 1/2; a window of random position whose side is 0.69 to 1.1 times
    the image's at strength 1 (the object grows by up to 1.46 or shrinks by up to 1.1, against black background), with
    an aspect ratio of 0.83 to 1.2; and random brightness, contrast and saturation. All randomness comes from `seed`:
    the same seed gives the same batch.

    Args:
        images: uint8 `(batch, h, w, 3)`.
        trimaps: uint8 `(batch, h, w, 1)` in {1, 2, 3}.
        seed: int tensor of shape `(2,)`.
        size: side of the output, in pixels.
        strength: 0 resizes only; 1 is the default; larger is stronger.
        outside: what the trimap says of pixels that lie outside the image.

    Returns:
        `(images, trimaps)`: float32 `(batch, size, size, 3)` in [0, 1], uint8 `(batch, size, size, 1)` in {1, 2, 3}.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    batch = tf.shape(images)[0]
    boxes = _random_boxes(batch, seeds[0], strength)
    images = _crop(images, boxes, size, "bilinear", outside=0) / 255.0
    trimaps = tf.cast(_crop(trimaps, boxes, size, "nearest", outside), tf.uint8)
    return _colour_jitter(images, seeds[1], strength), trimaps


def _random_boxes(batch, seed, strength):
    """Boxes (y1, x1, y2, x2) in relative coordinates; x1 > x2 mirrors the image."""
    u = tf.random.stateless_uniform((5, batch), seed)
    side = tf.pow(1.6, strength * (0.2 - u[0]))  # 0.69 to 1.1 at strength 1
    aspect = tf.pow(1.2, strength * (u[1] - 0.5))  # of each side: 0.91 to 1.1
    height, width = side * aspect, side / aspect
    y1, x1 = u[2] * (1 - height), u[3] * (1 - width)
    y2, x2 = y1 + height, x1 + width
    flip = (u[4] < 0.5) & (strength > 0)
    return tf.stack([y1, tf.where(flip, x2, x1), y2, tf.where(flip, x1, x2)], axis=1)


def _crop(images, boxes, size, method, outside):
    """Resamples boxes to `(batch, size, size, channels)`, float32; pixels outside the image get the value `outside`."""
    boxes = 0.5 + (boxes - 0.5) * (1 - 1e-6)  # or rounding would put a box's last row outside the image
    each = tf.range(tf.shape(images)[0])
    return tf.image.crop_and_resize(images, boxes, each, (size, size), method, extrapolation_value=outside)


def _colour_jitter(images, seed, strength):
    u = tf.random.stateless_uniform((3, tf.shape(images)[0], 1, 1, 1), seed, -0.25 * strength, 0.25 * strength)
    grey = tf.image.rgb_to_grayscale(images)
    images = grey + (images - grey) * (1 + 1.5 * u[0])  # saturation
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = mean + (images - mean) * (1 + u[1])  # contrast
    return tf.clip_by_value(images + 0.6 * u[2], 0.0, 1.0)  # brightness


class TrainingData:
    """Training batches as a function of seed and epoch, so that a resumed run sees what it would have seen.

    The order also follows TensorFlow's global seed (`keras.utils.set_random_seed`), where one is set: set the same.

    Images are decoded and resized, then cached as uint8 at 1.25 times the training size, which leaves the random crops
    detail to cut from. Cached in memory, all of them are shuffled together. Cached on disk, or not at all and decoded
    anew in every epoch, they are shuffled in a buffer of 128 MiB, and memory does not grow with the dataset. A dataset
    that fits into the buffer gives the same batches either way.

    Args:
        examples: `tf.data.Dataset` of TFDS examples.
        size: side of the training images, in pixels.
        batch_size: images a step; the last, incomplete batch of an epoch is dropped (a dataset smaller than a batch is
            one batch).
        policy: a name in `TARGETS`, or `"ids"`; under this, what an augmented image shows outside the photo is ignored.
        seed: of shuffling and augmentation.
        augmentation: strength, 0 for none; see `augment`.
        cache: a name in `CACHES`.
        cache_folder: where `"disk"` puts a folder of its own, filled at once and deleted with this object; by default
            among the system's temporary files, which some systems keep in memory.
        half_size_epochs: the first so many epochs have images of half the side, which cost a quarter (progressive
            resizing; Howard & Gugger 2020, "Deep Learning for Coders with fastai and PyTorch", chapter 7). The model
            then takes images of any size.

    Raises:
        ValueError: for a dataset of unknown size, and as `checked_examples`.
    """

    def __init__(
        self,
        examples,
        size,
        batch_size,
        policy,
        seed=0,
        augmentation=1.0,
        cache="memory",
        cache_folder=None,
        half_size_epochs=0,
    ):
        self.count = counted(examples)
        self.batch_size = min(batch_size, self.count)
        self.steps = self.count // self.batch_size
        self.size, self.policy, self.seed, self.augmentation = size, policy, seed, augmentation
        self.half_size_epochs = half_size_epochs
        stored = size * 5 // 4 if augmentation else size
        self._stored = checked_examples(examples, policy).map(lambda e: resize_example(e, stored), PARALLEL_CALLS)
        self._stored = _cached(self._stored, cache, cache_folder, self)
        in_buffer = max(self.batch_size, SHUFFLE_BYTES // (4 * stored**2))
        self._shuffled_at_once = self.count if cache == "memory" else min(self.count, in_buffer)

    def epoch(self, epoch):
        """The batches of one epoch: (float32 `(b, size, size, 3)` in [0, 1], uint8 targets `(b, size, size, 1)`)."""

        def finish(step, batch):
            images, trimaps = batch
            if self.augmentation:
                seed = tf.stack([tf.cast(self.seed, tf.int64), epoch * 1_000_003 + step])
                outside = IGNORE if self.policy == IDS else BACKGROUND
                images, trimaps = augment(images, trimaps, seed, self.size, self.augmentation, outside)
            else:
                images = tf.cast(images, tf.float32) / 255.0
            if epoch < self.half_size_epochs:
                images, trimaps = tf.nn.avg_pool2d(images, 2, 2, "VALID"), trimaps[:, 1::2, 1::2]
            return images, target_from_trimap(trimaps, self.policy)

        seed = self.seed * 1_000_003 + epoch
        shuffled = self._stored.shuffle(self._shuffled_at_once, seed, reshuffle_each_iteration=False)
        batches = shuffled.batch(self.batch_size, drop_remainder=True).enumerate()
        return _without_autotuning(batches.map(finish, PARALLEL_CALLS).prefetch(PARALLEL_CALLS))


def _cached(images, cache, folder, owner):
    """A dataset, cached in one of the `CACHES`; a folder on disk lasts as long as `owner` does."""
    if cache == "memory":
        return images.cache()
    if cache == "none":
        return images
    if cache != "disk":
        raise ValueError(f"cache must be one of {', '.join(CACHES)}. Received: cache={cache!r}")
    folder = tempfile.mkdtemp(prefix="cache-", dir=folder)
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    images = images.cache(os.path.join(folder, "images"))
    with in_one_line():
        for _ in images.batch(64):  # TensorFlow's file cache is of use only once a whole pass has filled it
            pass
    return images


def evaluation_data(examples, size, batch_size, policy, cache="memory"):
    """Batches of (float32 image in [0, 1], uint8 target) in the dataset's order: not augmented, all kept.

    They are cached in memory, or with any other name in `CACHES` not at all, and then decoded again in every pass.
    """

    def prepare(example):
        image, trimap = resize_example(example, size)
        return tf.cast(image, tf.float32) / 255.0, target_from_trimap(trimap, policy)

    prepared = checked_examples(examples, policy).map(prepare, PARALLEL_CALLS)
    batches = (prepared.cache() if cache == "memory" else prepared).batch(batch_size)
    return _without_autotuning(batches.prefetch(PARALLEL_CALLS))


def _without_autotuning(dataset):
    """Switches off tf.data's autotuning.

    Its thread looks at the pipeline after 10 ms, 20 ms, 40 ms and so on, and an iterator that ends may have to wait for
    the next look: an epoch of 11 s then takes 20.5 s, measured with TensorFlow 2.21.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
