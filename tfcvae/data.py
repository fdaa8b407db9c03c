"""From TFDS examples of MNIST, CIFAR-10 or the built-in glyphs to batches of (image, label).

An example holds `image` (uint8, `(height, width, channels)`, all of one size) and `label` (integer).
"""

import os

import keras
import numpy as np
import tensorflow as tf

PARALLEL_CALLS = os.cpu_count() or 1


def image_and_label(example):
    """One TFDS example as (float32 image in [0, 1], int32 label)."""
    return tf.cast(example["image"], tf.float32) / 255.0, tf.cast(example["label"], tf.int32)


def to_arrays(examples):
    """A whole dataset in memory: (float32 NumPy images `(n, h, w, c)` in [0, 1], int32 labels `(n,)`)."""
    pairs = examples.map(lambda e: (e["image"], tf.cast(e["label"], tf.int32)), PARALLEL_CALLS).batch(1000)
    images, labels = zip(*pairs.as_numpy_iterator(), strict=True)
    return np.concatenate(images).astype("float32") / np.float32(255), np.concatenate(labels)


def binarise(images, seed):
    """Draws each pixel black or white, white with its brightness as the probability.

    Evaluation on MNIST binarises the test images once, with a seed that is stated beside the result.

    Args:
        images: NumPy array in [0, 1].
        seed: int; the same seed and images give the same result.

    Returns:
        Float32 array of {0, 1}, of the same shape.
    """
    noise = np.random.default_rng(seed).random(images.shape, "float32")
    return (noise < images).astype("float32")


class TrainingData:
    """Training batches as a pure function of (seed, epoch), so that a resumed run sees what it would have seen.

    Images are decoded once and cached in memory as uint8.

    Args:
        examples: `tf.data.Dataset` of TFDS examples, of known size.
        batch_size: images a step; the last, incomplete batch of an epoch is dropped (a dataset smaller than a batch is
            one batch).
        seed: of shuffling and augmentation.
        flip: mirror each image left to right with probability 1/2.
        crop: pixels by which each image moves at most, up or down and left or right; what comes in is black.
        blur: share of the images that are made 2 or 4 times coarser, and smooth.
    """

    def __init__(self, examples, batch_size, seed=0, flip=False, crop=0, blur=0.0):
        self.count = int(examples.cardinality())
        if self.count < 1:
            raise ValueError(
                "examples must be a dataset of known size, not empty; of a generator, say how many there are: "
                f"examples.apply(tf.data.experimental.assert_cardinality(n)). Received: cardinality={self.count}"
            )
        self.batch_size = min(batch_size, self.count)
        self.steps = self.count // self.batch_size
        self.seed, self.augmentation = seed, {"flip": flip, "crop": crop, "blur": blur}
        self._cached = examples.map(lambda e: {"image": e["image"], "label": e["label"]}, PARALLEL_CALLS).cache()

    def epoch(self, epoch):
        """The batches of one epoch: (float32 `(b, h, w, c)` in [0, 1], int32 labels `(b,)`)."""

        def finish(step, batch):
            images, labels = image_and_label(batch)
            seed = tf.stack([tf.cast(self.seed, tf.int64), epoch * 1_000_003 + step])
            return augment(images, seed, **self.augmentation), labels

        seed = self.seed * 1_000_003 + epoch
        shuffled = self._cached.shuffle(self.count, seed, reshuffle_each_iteration=False)
        batches = shuffled.batch(self.batch_size, drop_remainder=True).enumerate()
        return _without_autotuning(batches.map(finish, PARALLEL_CALLS).prefetch(PARALLEL_CALLS))


class InputData(TrainingData):
    """`TrainingData` whose batches are `((images, labels),)`, as a `CVAE` takes them on every Keras backend."""

    def epoch(self, epoch):
        """The batches of one epoch: a pair of float32 `(b, h, w, c)` in [0, 1] and int32 labels `(b,)`, in a tuple."""
        return as_inputs(super().epoch(epoch))


def as_inputs(batches):
    """Batches of (images, labels) as batches of `((images, labels),)`: inputs, and no target."""
    return batches.map(lambda images, labels: ((images, labels),))


def checked_inputs(batch, num_classes):
    """The inputs of a `CVAE` from a batch of TensorFlow's.

    Args:
        batch: `(images, labels)`, or `(inputs,)` with the inputs of `CVAE.call`.
        num_classes: number of classes.

    Returns:
        `(images, labels)` or `(images, labels, noise)`.

    Raises:
        ValueError: for images alone, sample weights, or labels of another kind than integers and vectors.
        tf.errors.InvalidArgumentError: while it runs, for an integer label outside `[0, num_classes)`, which would
            train as if there were none. (Under XLA, TensorFlow leaves this check out, and the loss becomes NaN.)
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    inputs = x if y is None else (x, y)
    if not isinstance(inputs, tuple | list) or len(inputs) not in (2, 3):
        raise ValueError("A batch must be (images, labels) or ((images, labels, noise),). Received: images alone")
    if sample_weight is not None:
        raise ValueError("A CVAE takes no sample weights. Received: a batch of (images, labels, sample_weight)")
    images, labels, *noise = inputs
    labels = tf.convert_to_tensor(labels)
    if len(labels.shape) == 1:
        if not labels.dtype.is_integer:
            raise ValueError(f"Labels must be integers or one-hot vectors. Received: {labels.dtype.name} labels")
        labels = tf.cast(labels, "int64")  # in which any number of classes can be told
        in_range = (labels >= 0) & (labels < num_classes)
        check = tf.debugging.Assert(tf.reduce_all(in_range), [f"Labels must be whole numbers in [0, {num_classes})."])
        with tf.control_dependencies([check]):
            labels = tf.identity(labels)
    return images, labels, *noise


def augment(images, seed, flip=False, crop=0, blur=0.0):
    """Mirrors, moves and blurs each image of a batch at random; all randomness comes from `seed`.

    Args:
        images: `(b, h, w, c)`; to be blurred, float.
        seed: int tensor of shape `(2,)`.
        flip, crop, blur: see `TrainingData`.

    Returns:
        Images of the same shape and type.
    """
    shape, seeds = tf.shape(images), tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    if flip:
        mirrored = tf.random.stateless_uniform((shape[0], 1, 1, 1), seeds[0]) < 0.5
        images = tf.where(mirrored, tf.reverse(images, axis=[2]), images)
    if crop:
        images = tf.pad(images, [[0, 0], [crop, crop], [crop, crop], [0, 0]])
        starts = tf.random.stateless_uniform((2, shape[0], 1), seeds[1], 0, 2 * crop + 1, tf.int32)
        images = tf.gather(images, starts[0] + tf.range(shape[1]), axis=1, batch_dims=1)
        images = tf.gather(images, starts[1] + tf.range(shape[2]), axis=2, batch_dims=1)
    if blur:
        draw = tf.random.stateless_uniform((shape[0], 1, 1, 1), tf.random.experimental.stateless_fold_in(seed, 2))
        images = tf.where(draw < blur, tf.where(draw < blur / 2, _coarse(images, 4), _coarse(images, 2)), images)
    return images


def _coarse(images, factor):
    """Images at a resolution that is `factor` times lower, back at their own size by linear interpolation."""
    size = tf.shape(images)[1:3]
    return tf.image.resize(tf.image.resize(images, size // factor, "area"), size)


def evaluation_data(examples, batch_size, seed=None):
    """Batches of (float32 image in [0, 1], int32 label) in the dataset's order: cached, all kept.

    Args:
        seed: binarise the images once with this seed, as `binarise` does; None leaves them grey.
    """
    images, labels = to_arrays(examples)
    images = images if seed is None else binarise(images, seed)
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch_size)
    return _without_autotuning(batches.prefetch(PARALLEL_CALLS))


def _without_autotuning(dataset):
    """Switches off tf.data's autotuning, whose thread can hold up the end of an epoch; see `tfseg.data`."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
