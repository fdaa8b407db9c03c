"""Segmentation data of one's own: a folder of photos and masks, or a TFDS dataset, with the classes found in it."""

import hashlib
import os

import numpy as np
import tensorflow as tf

from experiments.harness.data import datasets
from experiments.harness.data.splits import VALIDATION, Splits, hold_out, limits
from experiments.harness.running.errors import UserError
from tfseg.classes import IGNORE
from tfseg.masks import find_coding, read_mask, told
from tfseg.photos import read_photo

FEATURES = {"image", "segmentation_mask"}


class OwnData(Splits):
    """The splits of a dataset whose masks are class ids; see `Splits`.

    Examples have `image`, `segmentation_mask` and `file_name`. `coding` is a `tfseg.masks.Coding`, and the attribute
    `classes` its `tfseg.classes.Classes`.
    """

    def __init__(self, name, splits, fingerprint, coding):
        super().__init__(name, splits, fingerprint)
        self.coding, self.classes = coding, coding.classes

    def record(self):
        """Name, sizes, classes and fingerprint, for `record.json`."""
        coding = {"values": list(self.coding.values), "ignore": self.coding.ignore}
        return super().record() | {"classes": {**self.classes.record(), **coding}}

    def __str__(self):
        ignored = "" if self.coding.ignore is None else f" (masks' value {told(self.coding.ignore)} is ignored)"
        return f"{super().__str__()}. Classes: {self.classes}{ignored}"


def from_pairs(name, pairs, train_limit=0, test_limit=0):
    """The data of a folder.

    Args:
        pairs: the folder's `experiments.unets.pairs.Pairs`.
        train_limit, test_limit: use only so many images for training and validation together, and for the test; 0 for
            all.
    """
    found = dict(pairs.splits)
    if train_limit:
        held_out = min(len(found["validation"]), max(1, round(VALIDATION * train_limit)))
        found["validation"] = found["validation"][:held_out]
        found["train"] = found["train"][: train_limit - held_out]
        if not found["train"]:
            raise UserError(f"train_limit must leave a photo beside those for validation. Received: {train_limit}")
    found["test"] = found["test"][: test_limit or None]
    splits = {split: _files(files, pairs.coding) for split, files in found.items()}
    return OwnData(name, splits, pairs.fingerprint, pairs.coding)


def _files(files, coding):
    """A dataset that reads photos and masks when it is iterated."""

    def read(photo, mask):
        image = read_photo(os.fsdecode(photo.numpy()))
        return image, coding.ids(read_mask(os.fsdecode(mask.numpy()))[0])[..., None]

    def example(photo, mask):
        image, ids = tf.py_function(read, (photo, mask), (tf.uint8, tf.uint8))
        image.set_shape((None, None, 3))
        ids.set_shape((None, None, 1))
        name = tf.strings.split(photo, "/")[-1]
        return {"image": image, "segmentation_mask": ids, "file_name": name}

    paths = tuple(list(map(os.fsencode, column)) for column in zip(*files, strict=True))
    return tf.data.Dataset.from_tensor_slices(paths).map(example, tf.data.AUTOTUNE, deterministic=True)


def from_tfds(choice, train_limit=0, test_limit=0, ignore=IGNORE):
    """The data of a TFDS dataset with photos and masks.

    Where it has no split to choose the epoch (`datasets.splits_of`), a tenth of `train` does. A dataset without such
    features or splits, or whose masks tell no classes apart, is a `UserError`.

    Args:
        train_limit, test_limit: use only the first examples of each split, and where `validation` is a split of its
            own, as many of it as of `train`; 0 for all.
        ignore: value of the mask's pixels that neither train nor score.
    """
    chosen, at_most = _tfds_splits(choice), limits(train_limit, test_limit)
    masks = datasets.load_splits(choice, chosen, decoders=datasets.only("segmentation_mask"), limits=at_most)
    values, fingerprint = _scan(masks, choice)
    if values.min() < 0:
        raise UserError(f"{choice.name} has masks with {values.min()}; class ids must be 0 or greater")
    try:
        coding = find_coding(values, ignore=ignore)
    except ValueError as error:
        raise UserError(f"{choice.name}: {error}") from None
    table = np.zeros(max(*coding.values, ignore or 0) + 1, np.uint8)
    table[list(coding.values)] = range(len(coding.values))
    if coding.ignore is not None:
        table[coding.ignore] = IGNORE

    def example(number, found):
        ids = tf.gather(table, tf.cast(found["segmentation_mask"], tf.int32))
        return {"image": found["image"], "segmentation_mask": ids, "file_name": tf.strings.as_string(number)}

    splits = {
        key: dataset.enumerate().map(example, tf.data.AUTOTUNE)
        for key, dataset in datasets.load_splits(choice, chosen, limits=at_most).items()
    }
    if "validation" not in splits:
        splits = hold_out(splits, VALIDATION, fingerprint["train"]["size"])
    return OwnData(choice.name, splits, fingerprint, coding)


def _tfds_splits(choice):
    """What `datasets.splits_of` says of a dataset with photos and masks."""

    def check(features):
        if not set(features) >= FEATURES:
            raise UserError(
                f"{choice.name} has {', '.join(sorted(features))}; a U-Net needs image and segmentation_mask"
            )
        image, mask = features["image"], features["segmentation_mask"]
        if np.dtype(image.np_dtype) != np.uint8:
            raise UserError(f"{choice.name} has images of {np.dtype(image.np_dtype)}; a U-Net needs uint8")
        if not np.issubdtype(mask.np_dtype, np.integer):
            raise UserError(f"{choice.name} has masks of {np.dtype(mask.np_dtype)}; a U-Net needs whole class ids")
        if mask.shape[2:] not in ((), (1,)):
            raise UserError(f"{choice.name} has masks of {mask.shape}; a U-Net needs (h, w, 1)")

    return datasets.splits_of(datasets.builder_of(choice, check).info, choice.name)


def _scan(splits, choice):
    """All values of the masks, and by split its size and the hash of its masks."""
    values, fingerprint = np.zeros(0, np.int64), {}
    with datasets.naming_damage(choice):
        for key, dataset in splits.items():
            size, digest = 0, hashlib.sha256()
            for example in dataset.as_numpy_iterator():
                mask = example["segmentation_mask"]
                values = np.union1d(values, mask)
                digest.update(np.ascontiguousarray(mask).tobytes())
                size += 1
            fingerprint[key] = {"size": size, "sha256": digest.hexdigest()}
    return values, fingerprint
