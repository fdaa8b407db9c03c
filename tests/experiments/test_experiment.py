"""Several models of one command: what is left to train, what is kept, what a record says; on a line of two weights."""

import csv
import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.harness.data.datasets import Choice
from experiments.harness.reporting import report
from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from experiments.harness.running.experiment import Experiment, Training, beside
from experiments.harness.running.hardware import Hardware
from tests.experiments.sessions import files

CHOICE = Choice("points", "builtin", None, "")
MACHINE = Hardware("CPU", "some CPU", 2, 0, "float32", False, "as asked")
SLOPES = {"flat": 0.5, "steep": 2.0}
EPOCHS = {"flat": 3, "steep": 2}


class Points:
    """Points near a line through the origin, other ones each epoch."""

    sizes, steps, batch_size = {"train": 8, "validation": 4, "test": 4}, 2, 4

    def __init__(self, slope=1.0):
        self.slope = slope

    def record(self):
        return {"name": "points", **self.sizes}

    def __str__(self):
        return "points: 8 to train on"

    def epoch(self, number):
        x = np.random.default_rng(number).standard_normal((8, 1)).astype("float32")
        return tf.data.Dataset.from_tensor_slices((x, self.slope * x)).batch(4)


class Killed(BaseException):
    """Passes by every `except Exception`, as a kill would."""


class Fit(Experiment):
    """Fits lines; `stop` raises something in the middle, by the name of the method."""

    name, monitor, mode, title = "fit", "mae", "min", "val error"

    def __init__(self, results, models=(("flat", 0), ("steep", 0)), rates=None, stop=None, options=None):
        self.rates, self.stop, self.built, self.wrapped = rates or {}, stop or {}, [], 0
        configurations = {(variant, seed): {"slope": SLOPES[variant]} for variant, seed in models}
        shared = {"options": options or {}, **MACHINE.settings()}
        super().__init__(CHOICE, "smoke", not options, shared, configurations, EPOCHS, Points(), MACHINE, results)

    def _stop(self, method, variant):
        if (method, variant) in self.stop:
            raise self.stop[method, variant]

    def told(self, variant):
        return "a line"

    def build(self, variant, seed):
        self.built.append((variant, seed))
        self._stop("build", variant)
        keras.utils.set_random_seed(seed)
        x = keras.Input((1,))
        model = keras.Model(x, keras.layers.Dense(1)(x))
        optimizer = keras.optimizers.Adam(self.rates.get(variant, 0.1))
        model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True, jit_compile=False)
        data = Points(SLOPES[variant])
        return Training(model, data, data.epoch(99))

    def score(self, model, variant, folder, label):
        self._stop("score", variant)
        (folder / "picture.png").write_text(label)
        slope = float(model.layers[-1].kernel.numpy()[0, 0])
        return {"test": {"slope": slope}, "validation": {"count": 4}}

    def wrap_up(self):
        self.wrapped += 1


def folder_of(results, variant, seed=0):
    return results / "fit" / "points" / "smoke" / variant / f"seed-{seed}"


def record_of(results, variant, seed=0):
    return json.loads((folder_of(results, variant, seed) / "record.json").read_text())


def untimed(results, variant, seed=0):
    record = record_of(results, variant, seed)
    assert record.pop("seconds")["training"] > 0 and record.pop("images_per_second") > 0
    return record


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A results folder in which both models are trained."""
    results = tmp_path_factory.mktemp("finished") / "results"
    experiment, records = Fit(results), []
    assert experiment.run(after_model=lambda: records.append(len(list(results.rglob("record.json"))))) == 0
    assert (experiment.wrapped, records) == (1, [1])  # after each model but the last
    assert experiment.built == [("flat", 0), ("steep", 0)]  # in the order asked for
    return results


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "results")
    return tmp_path / "results"


# What comes out


def test_a_record_says_all(finished):
    record = record_of(finished, "steep")
    with open(folder_of(finished, "steep") / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    model = keras.models.load_model(folder_of(finished, "steep") / "model.keras")
    errors = [float(row["val_mae"]) for row in rows]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    seconds = record.pop("seconds")
    assert seconds["training"] == sum(float(row["seconds"]) for row in rows) and seconds["evaluation"] > 0
    assert record.pop("images_per_second") == np.median([8 / float(row["seconds"]) for row in rows])
    assert record.pop("command").startswith("python experiments/")
    assert record == {
        "experiment": "fit",
        "dataset": "points",
        "run": "smoke",
        "variant": "steep",
        "seed": 0,
        "config": {"slope": 2.0, "epochs": 2},
        "data": {"name": "points", "train": 8, "validation": 4, "test": 4},
        "parameters": 2,
        "images_seen": 16,
        "test": {"slope": float(model.get_weights()[0][0, 0])},
        "validation": {"mae": min(errors), "epoch": 1 + errors.index(min(errors)), "count": 4},
        "versions": runs.versions(),
        "hardware": MACHINE.record(),
    }


def test_what_else_keeps_the_machine_busy_is_told(monkeypatch):
    assert beside() == {}
    monkeypatch.setenv("BESIDE", "a search")
    assert report.hardware({"hardware": MACHINE.record() | beside()}).endswith(", beside a search")


# What is left


def test_finished_models_are_kept(copy, capsys):
    before, experiment = files(copy), Fit(copy)
    assert experiment.left() == [] and experiment.left(force=True) == [("flat", 0), ("steep", 0)]
    assert (experiment.run(), experiment.built, experiment.wrapped) == (0, [], 1)
    assert files(copy) == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["points: 8 to train on.", f"Results: {copy / 'fit' / 'points' / 'smoke'}"]
    assert lines[2:] == ["flat seed 0: finished, kept", "steep seed 0: finished, kept"]


def test_what_would_run_is_told(copy, capsys):
    for force, count, state in ((False, 0, "finished"), (True, 2, "to do")):
        Fit(copy).describe(force)
        out = capsys.readouterr().out
        assert f"{count} of 2 models to train" in out and out.count(state) == 2


def test_another_seed_joins_the_run(copy):
    before, experiment = files(copy), Fit(copy, [("flat", 0), ("flat", 1)])
    assert experiment.left() == [("flat", 1)]
    experiment.run()
    assert experiment.built == [("flat", 1)] and before.items() <= files(copy).items()
    assert untimed(copy, "flat", 1)["test"] != untimed(copy, "flat", 0)["test"]


def test_force_trains_again_what_was_asked_for_and_nothing_else(copy):
    before, experiment = files(copy), Fit(copy, [("flat", 0)])
    seconds, outcome = record_of(copy, "flat")["seconds"], untimed(copy, "flat")
    assert (experiment.run(force=True), experiment.built) == (0, [("flat", 0)])
    assert untimed(copy, "flat") == outcome and record_of(copy, "flat")["seconds"] != seconds
    kept = folder_of(copy, "steep")
    assert files(kept) == {path: content for path, content in before.items() if kept in path.parents}


def test_force_that_is_interrupted_leaves_no_record_without_weights(copy):
    with pytest.raises(Killed):
        Fit(copy, stop={("build", "flat"): Killed()}).run(force=True)
    assert [path.name for path in folder_of(copy, "flat").iterdir()] == ["config.json"]
    again = Fit(copy)
    assert again.folder.name == "smoke" and again.left() == [("flat", 0), ("steep", 0)]  # the one not reached, too


@pytest.mark.parametrize("missing", ["record.json", "model.keras"])
def test_a_model_is_finished_with_record_and_weights_only(copy, missing):
    (folder_of(copy, "flat") / missing).unlink()
    experiment = Fit(copy)
    if missing == "record.json":
        assert experiment.left() == [("flat", 0)] and experiment.folder.name == "smoke"
    else:  # as in a fresh clone: the record is somebody's result
        assert experiment.left() == [("flat", 0), ("steep", 0)] and experiment.folder.name.startswith("smoke-")


def test_a_batch_that_the_devices_cannot_share_is_refused_at_once(tmp_path, capsys):
    two = replace(MACHINE, strategy="mirrored", replicas=2)
    configurations = {("flat", 0): {"batch_size": 4}, ("steep", 0): {"batch_size": 3}}
    with pytest.raises(UserError, match="steep: 2 devices can't share batches of 3 images"):
        Experiment(CHOICE, "smoke", True, {}, configurations, EPOCHS, Points(), two, tmp_path)
    assert capsys.readouterr().out == "" and list(tmp_path.iterdir()) == []


# Interrupted


@pytest.mark.parametrize("variant", ["flat", "steep"])
def test_interrupted_while_scoring_goes_on_with_scoring(tmp_path, finished, variant, capsys):
    with pytest.raises(Killed):
        Fit(tmp_path, stop={("score", variant): Killed()}).run()
    assert not (folder_of(tmp_path, variant) / "record.json").exists()
    assert (folder_of(tmp_path, variant) / "checkpoint.npz").exists()
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if line.startswith(f"{variant} seed 0 | epoch ") and " | val error " in line]
    count = EPOCHS[variant]
    assert [line.split(" | ")[1] for line in told] == [f"epoch {n}/{count}" for n in range(1, count + 1)]
    assert lines[-1] == f"{variant} seed 0: scoring on the test split ..."
    experiment = Fit(tmp_path)
    assert (experiment.run(), experiment.wrapped) == (0, 1)
    assert f"{variant} seed 0 | epoch " not in capsys.readouterr().out  # the training was done
    for name in SLOPES:
        assert untimed(tmp_path, name) == untimed(finished, name)
        assert not (folder_of(tmp_path, name) / "checkpoint.npz").exists()


def test_a_folder_in_use_is_refused_and_left_alone(copy):
    before, experiment = files(copy), Fit(copy)
    with runs.lock(experiment.folder), pytest.raises(UserError, match="is in use by another run"):
        experiment.run(force=True)
    assert files(copy) == before and experiment.wrapped == 0


# Diverging


def test_a_diverging_model_is_named_and_the_others_go_on(tmp_path, finished, capsys):
    experiment = Fit(tmp_path, rates={"flat": 1e30})
    assert (experiment.run(), experiment.wrapped) == (1, 1)
    err = capsys.readouterr().err
    assert err.startswith("error: flat seed 0 stopped: the loss became ") and err.count("\n") == 1
    assert err.endswith(". Try a lower learning rate.\n")  # it was float32 already
    assert not (folder_of(tmp_path, "flat") / "record.json").exists()
    assert untimed(tmp_path, "steep") == untimed(finished, "steep")
    again = Fit(tmp_path)
    assert again.left() == [("flat", 0)] and again.run() == 0
