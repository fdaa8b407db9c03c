"""Where data comes from: datasets prepared by TFDS, TFDS downloads, or built-in procedural data.

`choose` decides before TensorFlow is imported, within seconds and without TFDS's retries; `load_splits` reads in a
fixed order; `fingerprint` reads everything once, so that a damaged file is found before training.
"""

import contextlib
import errno
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from experiments.harness.data.downloads import download_and_prepare, find_download, host, prepare_command, probe
from experiments.harness.running.errors import UserError, first_line


@dataclass(frozen=True)
class Choice:
    """A dataset and where it comes from.

    Attributes:
        name: TFDS name (`"oxford_iiit_pet"`, `"emnist/letters"`), the built-in's, that of files, or `own-` and a
            folder's.
        source: `"prepared"`, `"download"`, `"builtin"`, `"folder"` (of one's own data) or `"files"` (parallel text).
        data_dir: TFDS's `data_dir`, or the folder; None for built-in data.
        notice: one sentence to print.
    """

    name: str
    source: str
    data_dir: str | None
    notice: str


def choose(requested, default, builtin, data_dir=None):
    """Decides which dataset to use and where it comes from, a `Choice`; imports neither TensorFlow nor TFDS.

    Prepared data is looked for in `data_dir`, else in the folder `TFDS_DATA_DIR` names, else in
    `~/tensorflow_datasets`. Where there is none, the dataset's download server is asked for its first file, which takes
    6 s at most.

    Args:
        requested: a TFDS name, `builtin`, or `"auto"`, which means the TFDS name `default` and falls back to `builtin`.

    Raises:
        UserError: if `data_dir` does not exist, the name is unknown, the prepared files are incomplete, or the dataset
            asked for is neither prepared nor can be downloaded.
    """
    if data_dir and not Path(data_dir).expanduser().is_dir():
        raise UserError(f"--data-dir {data_dir} is not a folder; create it, or leave the option out")
    if requested == builtin:
        return Choice(builtin, "builtin", None, f"Data: {builtin}, drawn by this program.")
    folder = default_folder(data_dir)
    name = default if requested == "auto" else requested
    if prepared_folder(folder, name):
        return Choice(name, "prepared", str(folder), f"Data: {name}, prepared in {folder}.")

    url, size = find_download(name)
    if not url:
        raise UserError(
            f"unknown dataset {name!r}: no folder here, nor prepared in {folder}, nor a dataset that TFDS downloads; "
            f"use --data auto, {default} or {builtin}"
        )
    problem = probe(url)
    if not problem:
        notice = f"Data: {name} is not in {folder} yet; downloading {size / 1e6:.0f} MB from {host(url)}."
        return Choice(name, "download", str(folder), notice)
    found = f"{name} is not prepared in {folder} and cannot be downloaded ({host(url)}: {problem})"
    remedy = f"{prepare_command(name)} on a machine with internet, then pass its tensorflow_datasets as --data-dir"
    if requested != "auto":
        raise UserError(f"{found}; run {remedy}, or use --data {builtin}")
    return Choice(builtin, "builtin", None, f"Data: {builtin}, because {found}. For {name}, run {remedy}.")


def default_folder(data_dir=None):
    """The folder of prepared datasets: `data_dir`, else what `TFDS_DATA_DIR` names, else TFDS's own."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser().resolve()


def prepared_folder(data_dir, name):
    """The folder of the highest prepared version of a dataset, or None.

    `data_dir` holds `<name>/<version>` or `<name>/<config>/<version>`. Raises `UserError` if there are versions, none
    of them with `dataset_info.json` and `features.json`, and for a name without a config where several are prepared.
    """
    if not re.fullmatch(r"\w+(/\w[\w.-]*)?", name):
        return None
    base = Path(data_dir) / name
    folders = [p for p in base.glob("*") if re.fullmatch(r"\d+\.\d+\.\d+", p.name)]
    if not folders:
        folders = [p for p in base.glob("*/*") if re.fullmatch(r"\d+\.\d+\.\d+", p.name)]
        configs = sorted({p.parent.name for p in folders})
        if len(configs) > 1:
            raise UserError(f"{name} is prepared as {', '.join(configs)}; say which, as in --data {name}/{configs[0]}")
    whole = [p for p in folders if (p / "dataset_info.json").is_file() and (p / "features.json").is_file()]
    if folders and not whole:
        raise _damaged(folders[0], "dataset_info.json or features.json is missing")
    return max(whole, key=lambda p: [int(n) for n in p.name.split(".")], default=None)


def load_splits(choice, splits, builtin_examples=None, decoders=None, limits=None):
    """Loads the splits of a chosen dataset, downloading and preparing it first if that was the choice.

    Returns a `tf.data.Dataset` by key, each of known cardinality and in the order of the files. Raises `UserError` if
    the download fails or the prepared files are damaged.

    Args:
        splits: names of splits by key, such as `{"train": "train", "test": "validation"}`.
        builtin_examples: for built-in data, a function from split string to `tf.data.Dataset`.
        decoders: as in `tfds.load`; `only("file_name")` reads one feature and decodes no image.
        limits: of a prepared dataset, how many examples to take of the beginning of a split, by key; 0 or none for all.
    """
    if choice.source == "builtin":
        return {key: builtin_examples(split) for key, split in splits.items()}
    import tensorflow_datasets as tfds

    builder = builder_of(choice)
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    config.options.deterministic = True
    loaded = {
        key: builder.as_dataset(split=split, shuffle_files=False, read_config=config, decoders=decoders)
        for key, split in splits.items()
    }
    return {key: dataset.take((limits or {}).get(key) or -1) for key, dataset in loaded.items()}


def builder_of(choice, check=None):
    """TFDS's builder of a chosen dataset, which is downloaded and prepared first if that was the choice.

    `check` is called with the dataset's features before anything is downloaded, and raises `UserError` for others than
    it needs. A download that fails and damaged files are a `UserError` too.
    """
    import tensorflow_datasets as tfds

    if choice.source == "download":
        download_and_prepare(choice.name, choice.data_dir, check)
    folder = prepared_folder(choice.data_dir, choice.name)
    try:
        builder = tfds.builder_from_directory(folder)
    except Exception as error:  # TFDS lets whatever its parsers raise through
        raise _damaged(folder, error) from error
    if check:
        check(builder.info.features)
    return builder


def splits_of(info, name):
    """TFDS's names of a dataset's splits, by `train`, `test` and, where it is one of its own, `validation`.

    The split `test` is what is scored, else `validation`; where there are both, `validation` chooses the epoch. A
    dataset that has no such splits is a `UserError`, which calls it `name`.
    """
    known = list(info.splits)
    tested = next((split for split in ("test", "validation") if split in known), None)
    if "train" not in known or tested is None:
        raise UserError(f"{name} has the splits {', '.join(known)}; it needs train, and test or validation")
    found = {"train": "train", "test": tested}
    return found | {"validation": "validation"} if {"test", "validation"} <= set(known) else found


def only(*features):
    """Decoders for `load_splits` that read these features and leave the others unread."""
    import tensorflow_datasets as tfds

    return tfds.decode.PartialDecoding(dict.fromkeys(features, True))


def fingerprint(datasets, id_feature, choice):
    """Reads every example once and says what was read: two runs on the same data have the same fingerprint.

    A file that is damaged, cut short or missing is a `UserError`.

    Args:
        datasets: `tf.data.Dataset` by key, best loaded with `decoders=only(id_feature)`, which is much faster.
        id_feature: scalar feature that tells examples apart, such as `"file_name"`; where there is none, `"label"`.

    Returns:
        By key, `{"size": examples, "sha256": hash of the ids, one a line, in order}`.
    """
    result = {}
    with naming_damage(choice):
        for key, dataset in datasets.items():
            size, digest = 0, hashlib.sha256()
            for ids in dataset.map(lambda example: example[id_feature]).batch(1024).as_numpy_iterator():
                size += len(ids)
                digest.update(b"".join((i if isinstance(i, bytes) else str(i).encode()) + b"\n" for i in ids))
            result[key] = {"size": size, "sha256": digest.hexdigest()}
    return result


@contextlib.contextmanager
def naming_damage(choice):
    """Turns what TensorFlow raises over a damaged file, wherever it is read, into a `UserError` that names its folder.

    `fingerprint` finds damaged records; an image that can't be decoded is met only when it is trained on or tested.
    """
    import tensorflow as tf

    damage = (tf.errors.DataLossError, tf.errors.OutOfRangeError, tf.errors.InvalidArgumentError)
    damage += (tf.errors.NotFoundError, tf.errors.FailedPreconditionError, tf.errors.PermissionDeniedError)
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:  # also what TensorFlow calls a full disk
        if not re.search("No space left|quota", str(error)):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    except damage as error:
        if choice.source == "builtin" or "IteratorGetNext" not in str(error):  # not the data, but a model's operation
            raise
        if choice.source == "folder":
            found = re.search(r"PhotoError: (.+)", str(error))
            raise UserError(found[1] if found else f"can't read {choice.data_dir}: {first_line(error)}") from error
        inner = re.search(r"Iterator::Root\S*: (.+)", str(error))  # what went wrong inside the pipeline
        raise _damaged(prepared_folder(choice.data_dir, choice.name), inner[1] if inner else error) from error


def _damaged(folder, problem):
    return UserError(f"damaged data in {folder} ({first_line(problem)}); delete that folder and prepare it again")
