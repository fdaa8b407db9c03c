"""Run folders: atomic files, locks, and what is done and what is left.

A run folder `<results>/<experiment>/<dataset>/<run>/` holds one folder a model and seed, `<variant>/seed-<n>/`. There
`config.json` says what is trained and `record.json` what came out; a record and weights together mean finished.
Nothing is ever overwritten by another configuration or other data: those get a run folder of their own.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import sys
from pathlib import Path

from experiments.harness.running.errors import UserError

CONFIG, RECORD, WEIGHTS = "config.json", "record.json", "model.keras"


def write_atomic(path, data):
    """Writes a file so that whoever looks sees the old content or the new, and a crash leaves no torn file.

    Args:
        path: where to; parent folders are created.
        data: `str`, `bytes`, or a function that is given the path of a temporary file to fill. The temporary file has
            the same suffix, in the same folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        if callable(data):
            data(temporary)
        else:
            temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value):
    """Writes a JSON file atomically, indented, with a newline at its end."""
    write_atomic(path, json.dumps(value, indent=2) + "\n")


def read_json(path):
    """Reads a JSON file; a torn or missing one is a `UserError` that names it."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"Can't read {path} ({error}). Delete or restore it, then run the command again.") from None


def seed_folder(run_folder, variant, seed):
    """Where one model of a run lies."""
    return Path(run_folder) / variant / f"seed-{seed}"


def is_finished(folder):
    """Whether a model's folder holds its record and its weights."""
    return (folder / RECORD).exists() and (folder / WEIGHTS).exists()


def choose_run_folder(parent, preset, is_plain, shared, models):
    """Picks the folder for a run: the preset's name, or that name with a tag.

    Args:
        parent: `<results>/<experiment>/<dataset>`.
        is_plain: whether all options are the preset's own.
        shared: JSON-like dictionary: what all models of the run have in common, data fingerprint included.
        models: the models asked for, `{(variant, seed): configuration}`.

    Returns:
        `(folder, notices)`: the first of `preset` (where `is_plain`), `preset-<tag>`, `preset-<tag>-2`, ... that is
        free or holds this very run, and a sentence for each folder passed over because its weights are missing.
    """
    tag = f"{preset}-{hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:6]}"
    names = [preset] if is_plain else []
    names += [tag] + [f"{tag}-{number}" for number in range(2, 1000)]
    notices = []
    for name in names:
        folder = Path(parent) / name
        if not same_run(folder, shared, models):
            continue
        missing = [f for f in model_folders(folder) if (f / RECORD).exists() and not (f / WEIGHTS).exists()]
        if not missing:
            return folder, notices
        notices.append(f"{folder} holds records without weights (as in a fresh clone): training in another folder.")
    raise UserError(f"No free run folder in {parent}: delete the runs that are no longer needed.")


def model_folders(run_folder, variant="*"):
    """The folders of the models of a run that were begun, of one variant or of all, by variant and seed."""
    folders = [path.parent for path in Path(run_folder).glob(f"{variant}/seed-*/{CONFIG}")]
    return sorted((f for f in folders if _seed(f).isdigit()), key=lambda f: (f.parent.name, int(_seed(f))))


def _seed(folder):
    return folder.name.removeprefix("seed-")


def same_run(run_folder, shared, models):
    """Whether what lies in a run folder is of this run; arguments as of `choose_run_folder`."""
    for folder in model_folders(run_folder):
        found = read_json(folder / CONFIG)
        key = folder.parent.name, int(_seed(folder))
        if found["shared"] != _jsonable(shared) or (key in models and found["model"] != _jsonable(models[key])):
            return False
    return True


def _jsonable(value):
    return json.loads(json.dumps(value))


def check_writable(folder, option="--results"):
    """Raises `UserError` where files can't be written into a folder (which is created and which `option` names)."""
    try:
        write_atomic(Path(folder) / ".writable", "")
        (Path(folder) / ".writable").unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(folder, error, option) from None


def _unwritable(folder, error, option="--results"):
    return UserError(f"Can't write to {folder}: {error.strerror}. Choose another folder with {option}.")


def remove_temporary(folder):
    """Deletes what `write_atomic` left behind where a process was killed in the middle of it."""
    for path in Path(folder).rglob(".*.tmp*"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def lock(folder, wait=False):
    """Holds a folder for this process, and creates it where it is missing.

    The operating system lets go of the lock when the process ends, however it ends.

    Args:
        wait: for a process that holds the folder, until it lets go.

    Raises:
        UserError: if another process holds it, unless it waits; where no lock can be had there.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "w")  # noqa: SIM115 (what it may raise is caught apart)
    except OSError as error:
        raise _unwritable(folder, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                problem = f"{folder} is in use by another run. Wait for it, or choose another --results."
                raise UserError(problem) from None
            print(f"{folder} is in use by another run: waiting for it ...", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # a file system that has no locks
            raise _unwritable(folder, error) from None
        yield


def command_line(leave_out=("--data-dir", "--results", "--force")):
    """The command that was run, without the options that only say where things lie on this machine."""
    words, skip = ["python", f"experiments/{Path(sys.argv[0]).name}"], False
    for word in sys.argv[1:]:
        if skip:
            skip = False
        elif word in leave_out:
            skip = word != "--force"
        elif word.split("=")[0] not in leave_out:
            words.append(shlex.quote(word))
    return " ".join(words)


def whole(least):
    """An `argparse` type: a whole number of at least `least`, and less than 2**32 - 1: it may be a seed."""

    def whole_number(text):
        value = _parsed(int, text, "a whole number")
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, received {text}")
        if value >= 2**32 - 1:
            raise argparse.ArgumentTypeError(f"must be less than {2**32 - 1}, received {text}")
        return value

    return whole_number


def number(least, most=None):
    """An `argparse` type: a number of at least `least`, and of at most `most` where that is given."""

    def a_number(text):
        value = _parsed(float, text, "a number")
        if most is not None and not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must lie between {least} and {most}, received {text}")
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be at least {least}, and finite, received {text}")
        return value

    return a_number


def _parsed(kind, text, name):
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {name}, received {text}") from None


def versions():
    """Versions of Python and of the packages that shape a result."""
    from importlib.metadata import PackageNotFoundError, version

    def installed(package):
        try:
            return version(package)
        except PackageNotFoundError:
            return version(f"{package}-cpu")  # TensorFlow's build without GPUs has a name of its own

    packages = ["tensorflow", "keras", "tensorflow-datasets", "numpy"] + ["jax"] * ("jax" in sys.modules)
    return {"python": sys.version.split()[0], **{package: installed(package) for package in packages}}
