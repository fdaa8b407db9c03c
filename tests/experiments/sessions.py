"""What tests of scripts share: starts of a script, in a process of its own or in this one, and what it left behind."""

import contextlib
import csv
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.harness.running.errors import run_main

ROOT = Path(__file__).parents[2]

WITHOUT_TENSORFLOW = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    slow = {"tensorflow", "tensorflow_datasets", "keras", "matplotlib"}
    assert not slow & set(sys.modules), "imported something slow"
"""


def closed(home):
    """Environment variables of a machine with no network, no prepared data and this home."""
    proxies = dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"], "http://127.0.0.1:9")
    return {**proxies, "no_proxy": "", "NO_PROXY": "", "HOME": str(home), "TFDS_DATA_DIR": ""}


def quick(tmp_path, script, *options):
    """Runs a script up to an answer for which it needs nothing slow to import, or fails with an `AssertionError`.

    There is no network, no prepared data, and an empty home.
    """
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, *map(str, (script, *options))]
    env = os.environ | closed(tmp_path / "home")
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=env)


SCRIPTS = """
import json, runpy, sys

for script, *options in json.loads(sys.argv[1]):
    sys.argv = [script, *options]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as exit_:
        assert not exit_.code, exit_.code
"""
"""Code that runs scripts one after another in one process; its argument is a JSON list of commands."""


class Session:
    """One start of a script, in a process of its own.

    Args:
        results: folder of its results.
        command: what follows `python`, but for `--results`.
        errors: file for what it writes to stderr; by default beside its results.
        alone: give it, and what it starts, a session of its own; see `processes`.
    """

    def __init__(self, results, *command, errors=None, alone=False):
        self.results, self.lines = results, []
        self.errors = errors or results.with_suffix(".stderr")
        with open(self.errors, "w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-u", *map(str, command), "--results", str(results)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                start_new_session=alone,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore Ctrl-C
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def wait_for(self, text):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return
        pytest.fail(f"ended without {text!r}:\n" + "\n".join([*self.lines, self.stderr()]))

    def finish(self):
        """Waits for the end; returns the exit code."""
        self.lines += self.process.stdout.read().splitlines()
        return self.process.wait()

    def kill(self):
        self.process.kill()
        self.was_killed()

    def was_killed(self):
        assert self.finish() == -signal.SIGKILL, "ended before it could be killed"
        assert self.stderr() == ""

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        assert self.finish() == 130
        assert self.stderr() == "interrupted: the same command goes on where it stopped\n"

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def processes(self):
        """Ids of the processes of its session that are running, its own among them."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, _, _, session = stat.read_text().rsplit(")", 1)[1].split()[:4]
                found += [int(stat.parent.name)] * (int(session) == self.process.pid and state != "Z")
        return found

    def has_left_nothing(self):
        """Whether none of its processes is running any more, after a minute at most."""
        deadline = time.monotonic() + 60
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.2)
        return not self.processes()

    def stderr(self):
        return self.errors.read_text()

    def trained(self):
        """The epochs that this session trained."""
        return trained(self.lines)


def trained(lines):
    """The epochs that a script said it trained, as `(label, epoch)`: `("mp-tr-bce seed 0", 1)`."""
    rows = [line.split(" | ") for line in lines if " | epoch " in line and " | loss " in line]
    return [(row[0], int(row[1].split()[1].split("/")[0])) for row in rows]


def kill_after(text, seconds, end=Session.kill):
    """A function that kills a session at a random moment of the seconds that follow a line."""

    def kill(session):
        session.wait_for(text)
        time.sleep(random.uniform(0, seconds))
        end(session)

    return kill


TEAR = """
import os, runpy, signal, sys
import numpy as np

variant, *sys.argv = sys.argv[1:]
whole = np.savez

def torn(path, **arrays):
    whole(path, **arrays)
    if variant in path.parts and path.with_name("checkpoint.npz").exists():
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

np.savez = torn
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def torn_at(variant):
    """What goes before a script so that it runs up to a model's second checkpoint and is killed amid writing it."""
    return "-c", TEAR, variant


def torn_checkpoint(results, variant):
    """The half-written file that such a session has left, beside the first checkpoint, which is whole."""
    (torn,) = results.rglob(".checkpoint.*.tmp.npz")
    assert variant in torn.parts
    assert 2 * torn.stat().st_size == pytest.approx((torn.parent / "checkpoint.npz").stat().st_size, rel=0.1)
    return torn


def kill_in_turn(results, command, kills):
    """Starts a command and kills it, as often as `kills` says; checks that every JSON file left behind is whole.

    Args:
        kills: pairs `(before, kill)`: what goes before the script, see `torn_at`, and a function that ends a `Session`;
            in an order in which every moment is still to come.

    Returns:
        The epochs that the sessions trained.
    """
    epochs = []
    for before, kill in kills:
        with Session(results, *before, *command) as session:
            kill(session)
            epochs += session.trained()
        for path in results.rglob("*.json"):
            json.loads(path.read_text())
    return epochs


def run_here(monkeypatch, capfd, module, *options):
    """Runs a script in this process, which saves the start of TensorFlow; returns exit status, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", [module.__file__, *map(str, options)])
    try:
        status = run_main(module.main)
    except SystemExit as exit_:
        status = exit_.code
    return status, *capfd.readouterr()


def finish_here(module, *options):
    """Runs a script in this process to its good end, for fixtures that several tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module.__file__, *map(str, options)])
        assert run_main(module.main) == 0


def include(monkeypatch, *options):
    """Runs `include_weights.py` in this process; what it raises passes."""
    from experiments.maintenance import include_weights

    monkeypatch.setattr(sys, "argv", [include_weights.__file__, *map(str, options)])
    include_weights.main()


# What a run finds


def store(folder, name, features, splits):
    """Writes a dataset as TFDS prepares it.

    Args:
        folder: TFDS's `data_dir`.
        name: of the dataset, whose version is 1.0.0.
        features: a dictionary of TFDS's features, or one that is of dictionaries itself.
        splits: `{name: examples}`, kept in this order.
    """
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(features) if isinstance(features, dict) else features
    splits = {split: enumerate(examples) for split, examples in splits.items()}
    tfds.dataset_builders.store_as_tfds_dataset(
        name, "1.0.0", features, splits, data_dir=folder, disable_shuffling=True
    )


# What a run left behind


def save(results, *records):
    """Writes records where their runs would have left them."""
    for record in records:
        parts = [record[key] for key in ("experiment", "dataset", "run", "variant")]
        folder = results.joinpath(*parts, f"seed-{record['seed']}")
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record))


def read(folder, name="record.json"):
    return json.loads((folder / name).read_text())


def history(folder):
    """The rows of `history.csv`, their seconds apart."""
    with open(folder / "history.csv", newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def weights(folder):
    import keras

    return keras.models.load_model(folder / "model.keras").get_weights()


def untimed(value):
    """A record's entry without what differs from run to run: seconds, and what was done in each."""
    if not isinstance(value, dict):
        return value
    return {k: untimed(v) for k, v in value.items() if k != "seconds" and not k.endswith("_per_second")}


def assert_same_outcome(folder, reference):
    """That two folders of a model hold the same history, record and weights."""
    assert history(folder) == history(reference)
    one, other = untimed(read(folder)), untimed(read(reference))
    assert one.keys() == other.keys()
    for name in one:
        assert one[name] == other[name], name
    for values, expected in zip(weights(folder), weights(reference), strict=True):
        np.testing.assert_array_equal(values, expected)


def files(folder):
    """Content and time of writing of every file below a folder, locks apart."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def finite(value):
    """Whether all numbers of a record's entry, however deep, are finite."""
    numbers = value.values() if isinstance(value, dict) else [value]
    return all(finite(n) if isinstance(n, dict) else math.isfinite(n) for n in numbers)
