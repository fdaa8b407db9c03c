"""The three splits of a dataset of examples, and what identifies them."""

from experiments.harness.data import datasets

PARTS = ("train", "validation", "test")
SPLIT_SEED = 0  # of the images held out, the same for every model, so that they compare
VALIDATION = 0.1


class Splits:
    """Training, validation and test examples.

    Attributes:
        name: of the dataset.
        train, validation, test: `tf.data.Dataset`, each of known size, in a fixed order.
        sizes: their sizes.
        fingerprint: JSON-like; tells other data apart.

    Args:
        name, fingerprint: see above.
        splits: the three datasets by name.
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


def limited(names, train_limit, test_limit):
    """Split strings of the first examples of each split.

    Args:
        names: TFDS names of splits, by `train`, `test` and, where there is one, `validation`.
        train_limit, test_limit: how many examples; 0 for all.
    """
    limits = {"train": train_limit, "validation": train_limit, "test": test_limit}
    return {part: f"{name}[:{limits[part]}]" if limits[part] else name for part, name in names.items()}


def load(choice, id_feature, names, held_out=VALIDATION, builtin=None):
    """Loads a dataset with the splits `train` and `test`, reads it once, and holds validation examples out.

    Args:
        choice: a `datasets.Choice`.
        id_feature: as in `datasets.fingerprint`.
        names: split strings by `train` and `test`, as `limited` returns them.
        held_out: validation examples, or their share.
        builtin: draws the examples of a split of built-in data; see `datasets.load_splits`.

    Returns:
        `(splits, fingerprint)`, as `Splits` takes them.
    """
    loaded = ids = datasets.load_splits(choice, names, builtin)
    if choice.source != "builtin":
        ids = datasets.load_splits(choice, names, decoders=datasets.only(id_feature))
    fingerprint = datasets.fingerprint(ids, id_feature, choice)
    return hold_out(loaded, held_out, fingerprint["train"]["size"]), fingerprint


def hold_out(loaded, held_out, count):
    """Splits `count` training examples into those to train on and `held_out` of them, or that share, to validate on."""
    held_out = max(1, round(held_out * count)) if held_out < 1 else held_out
    train, validation = datasets.split_validation(count, held_out, SPLIT_SEED)
    parts = {
        part: datasets.take(loaded["train"], rows) for part, rows in (("train", train), ("validation", validation))
    }
    return {**parts, "test": loaded["test"]}
