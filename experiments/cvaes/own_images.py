"""Labelled images of one's own, in the form of the known ones."""

import tensorflow as tf

from experiments.cvaes import sources
from experiments.cvaes.training import Images
from experiments.harness.data.splits import limits, load


class OwnImages(Images):
    """The splits of one's own images, which models of a known dataset fit; see `Images`.

    `flip` says whether an image mirrored left to right is of the same class. A known dataset's recipes know that.
    """

    def __init__(self, name, splits, fingerprint, image_shape, class_names, flip=False):
        super().__init__(name, splits, fingerprint, image_shape, class_names, sources.family_of(image_shape), flip)

    def record(self):
        """What `Images` says, and all else that tells apart what may have the same fingerprint."""
        own = {"image_shape": list(self.image_shape), "class_names": list(self.class_names), "flip": self.flip}
        return super().record() | own


def of_folder(choice, found, train_limit=0, test_limit=0, flip=False):
    """The `OwnImages` of a folder.

    `found` is its `ClassFolder`. The limits take only the first images of each split; 0 for all.
    """
    at_most, splits, fingerprint = limits(train_limit, test_limit), {}, {}
    for split, images in found.images.items():
        size = min(len(images), at_most[split] or len(images))
        rows = {"image": images[:size], "label": found.labels[split][:size]}
        splits[split] = tf.data.Dataset.from_tensor_slices(rows)
        fingerprint[split] = found.fingerprint[split] | {"size": size}
    return OwnImages(choice.name, splits, fingerprint, found.image_shape, found.class_names, flip)


def of_tfds(choice, image_shape, class_names, splits, train_limit=0, test_limit=0, flip=False):
    """The `OwnImages` of a TFDS dataset by name, resized where they are of another size.

    `image_shape`, `class_names` and `splits` are what `sources.tfds_images` returned; the limits are as for
    `of_folder`.
    """

    def resized(example):
        image = example["image"]
        if image.shape[:2] != image_shape[:2]:
            image = tf.image.resize(image, image_shape[:2], antialias=True)
            image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
        return {"image": tf.ensure_shape(image, image_shape), "label": example["label"]}

    loaded, fingerprint = load(choice, "label", at_most=limits(train_limit, test_limit), names=splits)
    loaded = {part: examples.map(resized) for part, examples in loaded.items()}
    return OwnImages(choice.name, loaded, fingerprint, image_shape, class_names, flip)
