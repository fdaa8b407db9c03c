"""Labelled images of one's own, in the form of `LabelledImages`."""

import tensorflow as tf

from experiments.cvaes import sources
from experiments.cvaes.training import VALIDATION_SEED, LabelledImages
from experiments.harness.data import datasets
from experiments.harness.data.class_folders import VALIDATION


class FolderImages(LabelledImages):
    """The images of a folder.

    Args:
        choice: a `datasets.Choice`.
        found: its `ClassFolder`.
    """

    def __init__(self, choice, found):
        self.name, self.image_shape, self.class_names = choice.name, found.image_shape, found.class_names
        self.family, self.fingerprint = sources.family_of(found.image_shape), found.fingerprint
        loaded = {
            split: tf.data.Dataset.from_tensor_slices({"image": images, "label": found.labels[split]})
            for split, images in found.images.items()
        }
        self.train, self.validation, self._test = loaded["train"], loaded["validation"], loaded["test"]
        self.sizes = {split: len(found.labels[split]) for split in ("train", "validation", "test")}


class TfdsImages(LabelledImages):
    """The images of a TFDS dataset by name, resized where they are of another size.

    Args:
        choice: a `datasets.Choice`.
        image_shape, class_names, splits: what `sources.tfds_images` returned.
        train_limit, test_limit: use only the first examples of each split; 0 for all.
    """

    def __init__(self, choice, image_shape, class_names, splits, train_limit=0, test_limit=0):
        self.name, self.image_shape, self.class_names = choice.name, image_shape, class_names
        self.family = sources.family_of(image_shape)
        limits = {"train": train_limit, "test": test_limit}
        splits = {key: f"{name}[:{limits[key]}]" if limits[key] else name for key, name in splits.items()}
        labels = datasets.load_splits(choice, splits, decoders=datasets.only("label"))
        self.fingerprint = datasets.fingerprint(labels, "label", choice)
        loaded = {key: images.map(self._resized) for key, images in datasets.load_splits(choice, splits).items()}
        count = self.fingerprint["train"]["size"]
        chosen, held_out = datasets.split_validation(count, max(1, round(VALIDATION * count)), VALIDATION_SEED)
        self.train = datasets.take(loaded["train"], chosen)
        self.validation = datasets.take(loaded["train"], held_out)
        self._test = loaded["test"]
        self.sizes = {"train": len(chosen), "validation": len(held_out), "test": self.fingerprint["test"]["size"]}

    def _resized(self, example):
        image, size = example["image"], self.image_shape[:2]
        if image.shape[:2] != size:
            image = tf.image.resize(image, size, antialias=True)
            image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
        return {"image": tf.ensure_shape(image, self.image_shape), "label": example["label"]}
