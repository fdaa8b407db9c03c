"""Where parallel text comes from: files in a folder, what TFDS has prepared, or the built-in `numbers`."""

import os
from pathlib import Path

from experiments.harness.data import datasets
from experiments.harness.data.datasets import Choice
from experiments.harness.running.errors import UserError

FOLDER = "TRANSLATION_DATA_DIR"
BUILTIN = "numbers"
KNOWN = ("multi30k", "tatoeba", "opus_books")
"""Looked for in this order by `auto`."""

SPLITS = {"train": ("train",), "validation": ("val",), "test": ("test", "test_2016_flickr")}
"""Names of files by split; each ends in `.en` or `.fr`. The last is Multi30k's."""


def choose(requested, data_dir=None):
    """Decides which parallel text to use, a `datasets.Choice`.

    Files are looked for in `data_dir`, else in the folder `TRANSLATION_DATA_DIR` names, else in `~/translation_data`;
    then datasets that TFDS has prepared, in `data_dir`, else where TFDS keeps them. TensorFlow is not imported.

    Args:
        requested: `"auto"`, `"numbers"`, the name of files in that folder (see `find`), or TFDS's of a dataset.

    Raises:
        UserError: if `data_dir` is no folder, or what was asked for by name is not there, or damaged.
    """
    if data_dir and not Path(data_dir).expanduser().is_dir():
        raise UserError(f"--data-dir {data_dir} is not a folder; create it, or leave the option out")
    if requested == BUILTIN:
        return Choice(BUILTIN, "builtin", None, f"Data: {BUILTIN}, drawn by this program.")
    folder = Path(data_dir or os.environ.get(FOLDER) or "~/translation_data").expanduser().resolve()
    passed_over = ""
    for name in KNOWN if requested == "auto" else (requested,):
        if find(name, folder):
            return Choice(name, "files", str(folder), f"Data: {name}, in {folder}.")
        prepared = datasets.default_folder(data_dir)
        try:
            if datasets.prepared_folder(prepared, name):
                return Choice(name, "prepared", str(prepared), f"Data: {name}, prepared in {prepared}.")
        except UserError as error:  # damaged, or of several configs
            if requested != "auto":
                raise
            passed_over += f" ({error})"
    lack = f"{folder} holds no {' and no '.join(KNOWN) if requested == 'auto' else requested}"
    for name in KNOWN if requested == "auto" else (requested,):
        lack += f" ({_missing(name, folder)})" * bool(_missing(name, folder))
    remedy = (
        "name the folder that holds NAME.tsv, NAME_en_fr.tsv.gz, NAME.en with NAME.fr, or a folder NAME with train.en, "
        "val.en, test.en and the same in .fr, as --data-dir"
    )
    if requested != "auto":
        raise UserError(f"{lack}; {remedy}, or use --data {BUILTIN}")
    return Choice(BUILTIN, "builtin", None, f"Data: {BUILTIN}, because {lack}{passed_over}. For others, {remedy}.")


def find(name, folder):
    """The files of a corpus in a folder.

    Returns:
        `{"train": (english, french), "validation": ..., "test": ...}` of a corpus that comes split, in a folder of its
        own; `{"all": (english, french)}` or `{"all": (tsv,)}` of another; None where there is neither.
    """
    folder = Path(folder)
    if Path(name).name != name or not name:
        return None
    found = _splits(folder / name)
    if set(found) == set(SPLITS):
        return found
    aligned = (folder / f"{name}.en", folder / f"{name}.fr")
    if all(path.is_file() for path in aligned):
        return {"all": aligned}
    for ending in (".tsv", ".tsv.gz", "_en_fr.tsv", "_en_fr.tsv.gz"):
        if (folder / f"{name}{ending}").is_file():
            return {"all": (folder / f"{name}{ending}",)}
    return None


def _splits(folder):
    """The pairs of files that a folder has, by split."""
    found = {}
    for split, stems in SPLITS.items():
        for stem in stems:
            pair = tuple(folder / f"{stem}.{language}" for language in ("en", "fr"))
            if split not in found and all(path.is_file() for path in pair):
                found[split] = pair
    return found


def _missing(name, folder):
    """What the folder of a corpus that comes split lacks; empty where there is no such folder."""
    if Path(name).name != name or not (folder / name).is_dir():
        return ""
    lacking = [
        f"{SPLITS[split][0]}.en with {SPLITS[split][0]}.fr" for split in SPLITS if split not in _splits(folder / name)
    ]
    return f"its folder {name} lacks {' and '.join(lacking)}"


def from_tfds(choice):
    """The texts of a dataset that TFDS has prepared: `{split: (english, french)}` by TFDS's names, lists of strings.

    A dataset that has no English and French, or is damaged, is a `UserError`.
    """
    info = datasets.builder_of(choice).info
    names = set(info.features["translation"] if "translation" in list(info.features) else info.features)
    if not names >= {"en", "fr"}:
        raise UserError(f"{choice.name} has {', '.join(sorted(names))}; it needs en and fr")
    texts = {}
    with datasets.naming_damage(choice):
        for split, examples in datasets.load_splits(choice, {name: name for name in info.splits}).items():
            rows = [example.get("translation", example) for example in examples.as_numpy_iterator()]
            texts[split] = [[row[language].decode() for row in rows] for language in ("en", "fr")]
    return texts
