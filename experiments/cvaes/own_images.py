"""Labelled images of one's own, in the form of the known ones."""

import tensorflow as tf

from experiments.cvaes import sources
from experiments.cvaes.training import Images
from experiments.harness.data.splits import limited, load


def of_folder(choice, found):
    """The `Images` of a folder.

    Args:
        choice: a `datasets.Choice`.
        found: its `ClassFolder`.
    """
    splits = {
        split: tf.data.Dataset.from_tensor_slices({"image": images, "label": found.labels[split]})
        for split, images in found.images.items()
    }
    shape = found.image_shape
    return Images(choice.name, splits, found.fingerprint, shape, found.class_names, sources.family_of(shape))


def of_tfds(choice, image_shape, class_names, splits, train_limit=0, test_limit=0):
    """The `Images` of a TFDS dataset by name, resized where they are of another size.

    Args:
        choice: a `datasets.Choice`.
        image_shape, class_names, splits: what `sources.tfds_images` returned.
        train_limit, test_limit: use only the first examples of each split; 0 for all.
    """

    def resized(example):
        image = example["image"]
        if image.shape[:2] != image_shape[:2]:
            image = tf.image.resize(image, image_shape[:2], antialias=True)
            image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
        return {"image": tf.ensure_shape(image, image_shape), "label": example["label"]}

    loaded, fingerprint = load(choice, "label", limited(splits, train_limit, test_limit))
    loaded = {part: examples.map(resized) for part, examples in loaded.items()}
    return Images(choice.name, loaded, fingerprint, image_shape, class_names, sources.family_of(image_shape))
