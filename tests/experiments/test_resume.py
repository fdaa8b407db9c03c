"""Whole runs, killed and started again: what is lost (no more than an epoch) and what comes out (the same)."""

import json
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest

from experiments import run_unet_matrix
from experiments.harness.running import runs
from experiments.unets.recipes import VARIANTS as ALL
from tests.experiments import sessions
from tests.experiments.sessions import (
    ROOT,
    Session,
    files,
    finish_here,
    finite,
    kill_after,
    run_here,
    torn_at,
    torn_checkpoint,
    trained,
)

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "experiments" / "run_unet_matrix.py"
BASE = shlex.split("--preset smoke --data shapes --precision float32")
VARIANTS = ("mp-tr-bce", "strconv-ups-dice")
EPOCHS = [(f"{variant} seed 0", epoch) for variant in VARIANTS for epoch in (1, 2, 3)]
COMMAND = [*BASE, "--epochs", "3", "--variants", *VARIANTS]


def start(results, *before):
    return Session(results, *before, SCRIPT, *COMMAND, "--cache", "disk")


def run_folder(results):
    folders = [folder for folder in (results / "unet" / "shapes").iterdir() if folder.is_dir()]
    assert len(folders) == 1
    return folders[0]


def seed_folder(results, variant):
    return run_folder(results) / variant / "seed-0"


def read(results, variant, name="record.json"):
    return sessions.read(seed_folder(results, variant), name)


def weights(results, variant):
    return sessions.weights(seed_folder(results, variant))


def assert_same_outcome(results, reference, variant):
    one, other = (sessions.history(seed_folder(folder, variant)) for folder in (results, reference))
    assert one == other and len(one) == 3
    for name in ("validation", "test", "test_flip", "trivial", "config", "data", "images_seen", "parameters"):
        assert read(results, variant)[name] == read(reference, variant)[name], name
    for values, expected in zip(weights(results, variant), weights(reference, variant), strict=True):
        np.testing.assert_array_equal(values, expected)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Results of the run without interruption, its training images in memory."""
    results = tmp_path_factory.mktemp("reference") / "results"
    finish_here(run_unet_matrix, *COMMAND, "--results", results)
    return results


@pytest.fixture
def here(tmp_path, monkeypatch, capfd):
    """A function that runs the script in this process."""

    def run(*options, results=tmp_path / "results"):
        return run_here(monkeypatch, capfd, run_unet_matrix, *BASE, *options, "--results", results)

    return run


# Killed


KILLS = [  # in an order in which every moment is still to come
    ((), kill_after("mp-tr-bce seed 0 | epoch 1/3 | loss", 0.05, Session.interrupt)),
    ((), kill_after("mp-tr-bce seed 0: scoring on the test split", 0.3)),
    (torn_at("strconv-ups-dice"), Session.was_killed),
]


def test_killed_run_ends_as_the_uninterrupted_one(tmp_path, reference, here):
    results, finished, epochs = tmp_path / "results", {}, []
    for before, kill in KILLS:
        with start(results, *before) as session:
            kill(session)
            epochs += session.trained()
        if before:
            torn_checkpoint(results, "strconv-ups-dice")
        for path in results.rglob("*.json"):
            json.loads(path.read_text())
        for record in results.rglob("record.json"):
            finished.setdefault(record.parent, files(record.parent))
    assert list(finished) == [seed_folder(results, "mp-tr-bce")]

    code, out, err = here(*COMMAND[len(BASE) :], "--cache", "disk")
    assert (code, err) == (0, "") and "mp-tr-bce seed 0: finished, kept\n" in out
    epochs += trained(out.splitlines())
    assert epochs == [epoch for epoch in EPOCHS if epoch in epochs]  # what was reported was saved: none is done twice
    assert len(EPOCHS) - len(epochs) <= 1  # an epoch may be saved and the session interrupted before it says so
    for variant in VARIANTS:
        assert_same_outcome(results, reference, variant)
    for folder, before in finished.items():
        assert files(folder) == before  # not trained or written again
    assert [path for path in run_folder(results).rglob(".*") if path.name != ".lock"] == []
    assert not any(results.rglob("checkpoint.npz")) and not any(results.rglob("cache-*"))
    own_table, summary = out[out.index("| variant |") :], (results / "summary.md").read_text()
    assert own_table.endswith(f"\n\nSummary: {results / 'summary.md'}\n")
    assert [row in summary and row.startswith("| `") for row in own_table.splitlines()[2:4]] == [True, True]
    assert (run_folder(results) / "comparison.png").is_file()


def test_a_folder_in_use_is_refused(reference, here):
    before = files(reference)
    with runs.lock(run_folder(reference)):
        code, _, err = here(*COMMAND[len(BASE) :], results=reference)
    line = f"error: {run_folder(reference)} is in use by another run. Wait for it, or choose another --results.\n"
    assert (code, err) == (2, line) and files(reference) == before


def test_records_without_weights_stay_as_they_are(tmp_path, reference, here):
    shutil.copytree(reference, tmp_path / "results", ignore=shutil.ignore_patterns("*.keras"))
    old, before = run_folder(tmp_path / "results"), files(tmp_path / "results")
    code, out, err = here(*COMMAND[len(BASE) :], "--dry-run")
    assert (code, err) == (None, "") and files(tmp_path / "results") == before
    assert f"{old} holds records without weights" in out and f"Results: {old}-2\n" in out
    assert "2 of 2 models to train" in out


# Other variants and targets


def test_a_pet_without_its_border_is_segmented_and_scored(tmp_path, here):
    code, _, err = here("--epochs", "1", "--variants", "mp-tr-dice", "--target", "pet", "--cache", "none")
    assert (code, err) == (0, "")
    assert read(tmp_path / "results", "mp-tr-dice")["config"]["target"] == "pet"
    assert weights(tmp_path / "results", "mp-tr-dice")[-1].shape == (1,)
    assert "per_class_iou" not in assert_scored(tmp_path / "results", "mp-tr-dice")


def test_a_model_that_diverges_is_named_and_the_others_go_on(tmp_path, reference, here, monkeypatch):
    """It was finished, and is trained again by force; the other is the article's, of three classes."""
    from experiments.unets import matrix

    def absurd(recipe, *arguments, build_model=matrix.build_model):
        rate = 1e30 if recipe.variant == ALL["mp-tr-bce"] else recipe.learning_rate
        return build_model(replace(recipe, learning_rate=rate), *arguments)

    monkeypatch.setattr(matrix, "build_model", absurd)
    results = tmp_path / "results"
    shutil.copytree(reference, results)
    kept = files(seed_folder(results, "strconv-ups-dice"))
    code, out, err = here("--epochs", "3", "--variants", "mp-tr-bce", "tutorial", "--force")
    assert code == 1 and err.startswith("error: mp-tr-bce seed 0 stopped: the loss became nan at step ")
    assert err.count("\n") == 1 and not (seed_folder(results, "mp-tr-bce") / "record.json").exists()
    assert files(seed_folder(results, "strconv-ups-dice")) == kept
    summary = (results / "summary.md").read_text()
    assert "This run is not complete. No record yet of `mp-tr-bce`, " in summary and "| `tutorial` †" in summary

    assert len(assert_scored(results, "tutorial")["per_class_iou"]) == 3 and "As three classes" in summary
    assert read(results, "tutorial")["config"]["target"] == "trimap"
    assert "--force" not in read(results, "tutorial")["command"]
    assert weights(results, "tutorial")[-1].shape == (3,)


def assert_scored(results, variant):
    """Checks that all scores are numbers, and that the summary shows them; returns those of the test split."""
    record = read(results, variant)
    for scores in (record["test"], record["test_flip"], record["trivial"]["all_foreground"], record["validation"]):
        assert finite(scores)
    lines = (results / "summary.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith(f"| `{variant}`"))
    assert f"| {record['test']['iou']:.3f} |" in row and f"| {record['test']['iou_border_excluded']:.3f} |" in row
    return record["test"]
