"""The text files in a folder of photos and masks: which image is of which split, and what classes are called."""

import re
from pathlib import Path

import numpy as np

from experiments.harness.data.folders import set_apart
from experiments.harness.running.errors import UserError

SPLITS = ("train", "val", "test")


def read_lists(folder, known):
    """The splits that `train.txt`, `val.txt` and `test.txt` list, a name a line, with or without a suffix.

    Args:
        known: all names, without suffixes; those that no list has are left out.

    Returns:
        `{split: names}`; empty where there is no list.

    Raises:
        UserError: for an empty list, a name that is not known or is listed twice, and for lists without one of training
            images or one of images to score on.
    """
    lists, seen = {}, {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if not path.is_file():
            continue
        lists[split] = []
        for line in _lines(path):
            stem = line if line in known else Path(line).stem
            if stem not in known:
                raise UserError(f"{path} names {line!r}, and there is no image of that name")
            if stem in seen:
                raise UserError(f"{path} names {line!r}, which {seen[stem]} names as well")
            seen[stem] = path
            lists[split].append(stem)
        if not lists[split]:
            raise UserError(f"{path} is empty")
    if lists and ("train" not in lists or len(lists) == 1):
        raise UserError(f"{folder} has {', '.join(f'{name}.txt' for name in lists)}; it needs train.txt and test.txt")
    return lists


def _lines(path):
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read {path} ({error})") from None
    return [line.strip() for line in lines if line.strip()]


def split_names(names, lists, seed=0):
    """Splits names into train, validation and test.

    Lists that are given are taken as they are; of two, `train` and `val`, the latter is the test split. Otherwise a
    fifth of all, at random, is the test split. Where no list says what validation is, it is a tenth of the rest.

    Args:
        lists: what `read_lists` returned.

    Returns:
        `{"train": names, "validation": names, "test": names}`.

    Raises:
        UserError: if there are too few for one of them.
    """
    random = np.random.default_rng(seed)
    if lists:
        train, test = lists["train"], lists.get("test") or lists["val"]
        validation = lists["val"] if len(lists) == 3 else None
    else:
        names = sorted(names)
        if len(names) < 5:
            raise UserError(f"{len(names)} images are too few: training, validation and test need at least 5 together")
        train, test = set_apart(names, max(1, round(0.2 * len(names))), random)
        validation = None
    if validation is None:
        if len(train) < 2:
            raise UserError("one training image is too few: one more is needed for validation")
        train, validation = set_apart(train, max(1, round(0.1 * len(train))), random)
    return {"train": train, "validation": validation, "test": test}


def read_names(path):
    """Names of classes, a line each, each with or without its colour (`sky #80c000`).

    Returns `(name, colour)` by class id, the colour's 24 bits (red highest) or None; empty where there is no such file.
    A name or a colour that stands there twice is a `UserError`.
    """
    found = []
    for line in _lines(path) if path.is_file() else []:
        name, colour = re.fullmatch(r"(.*?)(?:\s+#([0-9a-fA-F]{6}))?", line).groups()
        colour = None if colour is None else int(colour, 16)
        for what, part in ((name, name), (f"#{colour or 0:06x}", colour)):
            if part is not None and any(part in known for known in found):
                raise UserError(f"{path} has {what} twice; classes differ in name and colour")
        found.append((name, colour))
    return found
