"""A folder of a person's own labelled images: a folder a class. Needs no TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.harness.data.folders import digest_of, read_all, set_apart
from experiments.harness.data.splits import SPLIT_SEED, VALIDATION
from experiments.harness.running.errors import UserError
from tfseg.photos import photos_in, read_photo

LAYOUT = "own data are a folder a class, with or without train/ and test/ above them"
TEST = 0.2


@dataclass(frozen=True)
class ClassFolder:
    """Labelled images by split, `train`, `validation` and `test`, each in random order: the first images of a split
    stand for all.

    Attributes:
        images: by split, uint8 `(n, size, size, 1 or 3)`.
        labels: by split, int64 `(n,)`.
        class_names: the folders' names, in alphabetical order.
        fingerprint: by split, its size and the hash of all its files and their classes.
    """

    images: dict
    labels: dict
    class_names: tuple
    fingerprint: dict

    @property
    def image_shape(self):
        return self.images["train"].shape[1:]


def read_class_folder(folder, size):
    """Reads all images of a folder, each squeezed to a square; grey where all of them are, else in colour.

    Returns a `ClassFolder`; a `UserError` names what is wrong.

    Args:
        folder: holds a folder a class, or `train/` with `test/` or `val/` that do. Without these, a fifth of each class
            is the test split, at random. Where there are all three, `val/` chooses the epoch, else a tenth of each
            class that is left.
        size: side of the squares, in pixels.
    """
    folder, random = Path(folder), np.random.default_rng(SPLIT_SEED)
    given = [folder / name for name in ("train", "test", "val") if (folder / name).is_dir()]
    validation = None
    if len(given) > 1 and given[0].name == "train":
        train, tested, *more = map(_by_class, given)
        for other, found in zip(given[1:], (tested, *more), strict=True):
            if train.keys() != found.keys():
                different = sorted(train.keys() ^ found.keys())[0]
                raise UserError(f"{given[0]} and {other} have different classes: {different} is in one of them only")
        validation = more[0] if more else None
    else:
        train, tested = _apart(_by_class(folder), TEST, random)
    if validation is None:
        train, validation = _apart(train, VALIDATION, random)
    names, splits = tuple(train), {"train": train, "validation": validation, "test": tested}
    rows = {split: _shuffled(found, random) for split, found in splits.items()}
    print(f"Reading {sum(map(len, rows.values())):,} images of {len(names)} classes ...", flush=True)
    read = {split: np.stack(read_all(lambda row: _square(row[0], size), part)) for split, part in rows.items()}
    if not any(np.ptp(images, axis=-1).any() for images in read.values()):
        read = {split: images[..., :1] for split, images in read.items()}
    labels = {split: np.array([label for _, label in part], np.int64) for split, part in rows.items()}
    fingerprint = {
        split: {"size": len(part), "sha256": digest_of(*zip(*part, strict=True))} for split, part in rows.items()
    }
    return ClassFolder(read, labels, names, fingerprint)


def _by_class(folder):
    """The images of each class, `{name: paths}`, classes in alphabetical order."""
    try:
        folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = {path.name: photos_in(path)[0] for path in folders}
    except OSError as error:
        raise UserError(f"can't read {error.filename} ({error.strerror})") from None
    if len(found) < 2:
        raise UserError(f"{folder} has {len(found)} folders; it needs two classes at least: {LAYOUT}")
    empty = [name for name, paths in found.items() if not paths]
    if empty:
        raise UserError(f"no image in {folder / empty[0]}: {LAYOUT}")
    return found


def _apart(found, share, random):
    """Sets a share of each class apart, one image at least."""
    kept, apart = {}, {}
    for name, paths in found.items():
        if len(paths) < 2:
            raise UserError(f"{paths[0].parent} has too few images: training, validation and test need one each")
        kept[name], apart[name] = set_apart(paths, max(1, round(share * len(paths))), random)
    return kept, apart


def _shuffled(found, random):
    """`(path, label)` of all images, classes mixed."""
    rows = [(path, label) for label, paths in enumerate(found.values()) for path in paths]
    return [rows[n] for n in random.permutation(len(rows))]


def _square(path, size):
    """A photo squeezed to a square, uint8 `(size, size, 3)`."""
    return np.asarray(Image.fromarray(read_photo(path)).resize((size, size), Image.Resampling.BILINEAR))
