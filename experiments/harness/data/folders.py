"""Folders of a person's own files: which folder, what sets some of its files apart, what was in them."""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from experiments.harness.data.datasets import Choice
from experiments.harness.running.errors import UserError


def choose_folder(requested):
    """The `Choice` of a folder of one's own, or None where a dataset is asked for by name.

    Its `data_dir` is the folder, and its name is `own-` and the folder's. What looks like a path and is no folder is a
    `UserError`.
    """
    path = Path(requested).expanduser()
    if path.is_dir():
        name = "own-" + (re.sub(r"[^\w.-]+", "-", path.resolve().name).strip("-.") or "data")
        return Choice(name, "folder", str(path), f"Data: the folder {path}.")
    if path.exists() or requested.startswith((".", "~", os.sep)) or requested.count("/") > 1:
        raise UserError(f"--data {requested} is not a folder")
    return None


def set_apart(items, count, random):
    """Draws `count` of some items; returns the others and those, each in order. `random`: a NumPy generator."""
    chosen = set(random.permutation(len(items))[:count].tolist())
    kept = [item for n, item in enumerate(items) if n not in chosen]
    return kept, [item for n, item in enumerate(items) if n in chosen]


def read_all(read, items):
    """Calls `read` with each item, several at a time, and returns the results in order.

    Raises `UserError` for the first item, in order, that can't be read.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            return list(pool.map(read, items))
        except ValueError as error:
            pool.shutdown(cancel_futures=True)
            raise UserError(str(error)) from None


def digest_of(paths, labels=()):
    """SHA-256 of the content of files, in order, and of their labels."""
    digest = hashlib.sha256(str(labels).encode() if labels else b"")
    for path in paths:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()
