"""The three splits of a dataset of examples, and what identifies them."""

import numpy as np

from experiments.harness.data import datasets
from experiments.harness.running.errors import UserError

PARTS = ("train", "validation", "test")
NAMES = {"train": "train", "test": "test"}
SPLIT_SEED = 0  # of the images held out, the same for every model, so that they compare
VALIDATION = 0.1


class Splits:
    """Training, validation and test examples; the constructor takes the three datasets by name.

    Attributes:
        train, validation, test: `tf.data.Dataset`, each of known size, in a fixed order.
        sizes: their sizes.
        fingerprint: JSON-like; tells other data apart.
    """

    def __init__(self, name, splits, fingerprint):
        self.name, self.fingerprint = name, fingerprint
        self.train, self.validation, self.test = (splits[part] for part in PARTS)
        self.sizes = {part: int(splits[part].cardinality()) for part in PARTS}

    def record(self):
        """Name, sizes and fingerprint, for `record.json`."""
        return {"name": self.name, **self.sizes, "fingerprint": self.fingerprint}

    def __str__(self):
        train, validation, test = self.sizes.values()
        return (
            f"{self.name}: {train + validation:,} train images ({validation:,} of them for validation), "
            f"{test:,} test images"
        )


def limits(train_limit, test_limit):
    """How many examples of each split to use at most, 0 for all: as many of `validation` as of `train`."""
    return {"train": train_limit, "validation": train_limit, "test": test_limit}


def load(choice, id_feature, held_out=VALIDATION, builtin=None, at_most=None, names=NAMES):
    """Loads a dataset, reads it once, and holds validation examples out where it has no split of them.

    Returns `(splits, fingerprint)`, as `Splits` takes them.

    Args:
        id_feature: as in `datasets.fingerprint`.
        held_out: validation examples, or their share.
        builtin: draws the examples of a split of built-in data; see `datasets.load_splits`.
        at_most: what `limits` returned, of data that is not built in.
        names: TFDS names of splits by `train`, `test` and maybe `validation`.
    """
    loaded = ids = datasets.load_splits(choice, names, builtin, limits=at_most)
    if choice.source != "builtin":
        ids = datasets.load_splits(choice, names, decoders=datasets.only(id_feature), limits=at_most)
    fingerprint = datasets.fingerprint(ids, id_feature, choice)
    if "validation" not in loaded:
        loaded = hold_out(loaded, held_out, fingerprint["train"]["size"])
    return loaded, fingerprint


def hold_out(loaded, held_out, count):
    """Splits `count` training examples into those to train on and `held_out` of them, or that share, to validate on."""
    train, validation = split_validation(count, held_out, SPLIT_SEED)
    parts = {part: take(loaded["train"], rows) for part, rows in (("train", train), ("validation", validation))}
    return {**parts, "test": loaded["test"]}


def split_validation(count, validation, seed):
    """Sets some of `count` examples aside for validation, at random; raises `UserError` if that leaves none for either.

    Args:
        validation: number of examples to set aside, or, below 1, their share, which is one example at least.

    Returns:
        `(train_indices, validation_indices)`: sorted int64 arrays that together hold 0 to `count - 1` once each.
    """
    size = max(1, round(count * validation)) if 0 < validation < 1 else int(validation)
    if not 0 < size < count:
        raise UserError(
            f"validation takes {size} of {count} examples, which leaves none for validation or none for training; "
            f"choose a number from 1 to {count - 1}, or a share below 1. Received: {validation}"
        )
    order = np.random.default_rng(seed).permutation(count).astype(np.int64)
    return np.sort(order[size:]), np.sort(order[:size])


def take(dataset, indices):
    """The examples at some positions of a dataset, in the dataset's order.

    The dataset is of known cardinality and in a fixed order; the result is of known cardinality, too. Positions are
    integers from 0 on.
    """
    import tensorflow as tf

    count, indices = int(dataset.cardinality()), np.unique(np.asarray(indices, np.int64))
    wanted = tf.constant(np.isin(np.arange(count), indices))
    read = dataset.take(int(indices[-1]) + 1 if len(indices) else 0).enumerate()
    kept = read.filter(lambda i, _: tf.gather(wanted, i)).map(lambda _, example: example)
    return kept.apply(tf.data.experimental.assert_cardinality(len(indices)))
