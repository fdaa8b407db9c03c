"""Whole runs, killed and started again: what is lost (no more than an epoch) and what comes out (the same)."""

import json
import os
import shlex
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from experiments import run_unet_matrix
from tests.experiments import sessions
from tests.experiments.sessions import ROOT, Session, files, finite, kill_after, run_here

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "experiments" / "run_unet_matrix.py"
BASE = shlex.split("--preset smoke --data shapes --precision float32")
VARIANTS = ("mp-tr-bce", "strconv-ups-dice")
COMMAND = [*BASE, "--epochs", "4", "--variants", *VARIANTS]


def start(results, *before):
    return Session(results, *before, SCRIPT, *COMMAND)


def run_folder(results):
    folders = [folder for folder in (results / "unet" / "shapes").iterdir() if folder.is_dir()]
    assert len(folders) == 1
    return folders[0]


def seed_folder(results, variant):
    return run_folder(results) / variant / "seed-0"


def read(results, variant, name="record.json"):
    return sessions.read(seed_folder(results, variant), name)


def history(results, variant):
    return sessions.history(seed_folder(results, variant))


def weights(results, variant):
    return sessions.weights(seed_folder(results, variant))


def assert_same_outcome(results, reference, variant):
    assert history(results, variant) == history(reference, variant)
    assert len(history(results, variant)) == 4
    for name in ("validation", "test", "test_flip", "trivial", "config", "data", "images_seen", "parameters"):
        assert read(results, variant)[name] == read(reference, variant)[name], name
    for one, other in zip(weights(results, variant), weights(reference, variant), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Results of the run without interruption."""
    results = tmp_path_factory.mktemp("reference") / "results"
    with start(results) as session:
        assert session.finish() == 0, session.stderr()
        assert session.stderr() == ""
        assert session.trained() == [(f"{variant} seed 0", epoch) for variant in VARIANTS for epoch in (1, 2, 3, 4)]
    return results


@pytest.fixture
def here(tmp_path, monkeypatch, capfd):
    """A function that runs the script in this process."""

    def run(*options, results=tmp_path / "results"):
        return run_here(monkeypatch, capfd, run_unet_matrix, *BASE, *options, "--results", results)

    return run


# Killed


def kill_amid_a_checkpoint(session):
    """Kills while a checkpoint is half written, and makes sure that it is."""
    session.wait_for("Results: ")
    folders = [Path(session.lines[-1].removeprefix("Results: "), variant, "seed-0") for variant in VARIANTS]

    def half_written():
        names = [name for folder in folders if folder.is_dir() for name in os.listdir(folder)]
        return any(name.startswith(".checkpoint.") and name.endswith(".tmp.npz") for name in names)

    while session.process.poll() is None:
        if half_written():
            session.stop()
            if half_written():
                return session.kill()
            session.process.send_signal(signal.SIGCONT)
    pytest.fail(f"no half-written checkpoint seen: {session.stderr()}")


KILLS = [  # in an order in which every moment is still to come
    kill_after("Results: ", 1),
    kill_after("mp-tr-bce seed 0 | epoch 1/4 | loss", 0.05, Session.interrupt),
    kill_amid_a_checkpoint,
    kill_after("scoring on the test split", 0.3),
    kill_after("strconv-ups-dice seed 0 | epoch ", 0.2),
    kill_after("strconv-ups-dice seed 0: scoring on the test split", 0.3),
    kill_after("Writing the summary", 0.3),
]


def test_killed_run_ends_as_the_uninterrupted_one(tmp_path, reference):
    results, finished, epochs = tmp_path / "results", {}, []
    for kill in KILLS:
        with start(results) as session:
            kill(session)
            epochs += session.trained()
        if kill is kill_amid_a_checkpoint:
            assert any(results.rglob(".checkpoint.*.tmp.npz"))
        for path in results.rglob("*.json"):
            json.loads(path.read_text())
        for record in results.rglob("record.json"):
            finished.setdefault(record.parent, files(record.parent))
    with start(results) as session:
        assert session.finish() == 0, session.stderr()
        assert session.trained() == []  # all was trained before the last kill
        assert [f"{variant} seed 0: finished, kept" in session.lines for variant in VARIANTS] == [True, True]

    for variant in VARIANTS:
        assert_same_outcome(results, reference, variant)
    for folder, before in finished.items():
        assert files(folder) == before  # not trained or written again
    assert set(finished) == {seed_folder(results, variant) for variant in VARIANTS}
    assert [path for path in run_folder(results).rglob(".*") if path.name != ".lock"] == []
    assert not any(results.rglob("checkpoint.npz"))
    for path in results.rglob("*.json"):
        json.loads(path.read_text())
    assert len(epochs) == len(set(epochs)) >= 8 - len(KILLS)  # what was reported was saved: none of it was done twice
    assert (results / "summary.md").is_file() and (run_folder(results) / "comparison.png").is_file()


def test_a_folder_in_use_is_refused(tmp_path):
    results = tmp_path / "results"
    with start(results) as first:
        first.wait_for("mp-tr-bce seed 0 | epoch 1/4 | loss")
        first.stop()
        before = files(results)
        with start(results) as second:
            assert second.finish() == 2
            assert second.stderr() == (
                f"error: {run_folder(results)} is in use by another run. Wait for it, or choose another --results.\n"
            )
        assert files(results) == before


# Run again


def test_a_finished_run_is_kept(reference, here):
    folders = [seed_folder(reference, variant) for variant in VARIANTS]
    before = [files(folder) for folder in folders]
    code, out, err = here(*COMMAND[len(BASE) :], results=reference)
    assert (code, err) == (0, "")
    assert all(f"{variant} seed 0: finished, kept\n" in out for variant in VARIANTS) and " | val IoU " not in out
    assert [files(folder) for folder in folders] == before
    assert "strconv-ups-dice" in (reference / "summary.md").read_text()


def test_force_trains_again_what_was_asked_for(tmp_path, reference, here):
    results = tmp_path / "copy"
    shutil.copytree(reference, results)
    kept = files(seed_folder(results, "strconv-ups-dice"))
    code, out, err = here("--epochs", "4", "--variants", "mp-tr-bce", "--force", results=results)
    assert (code, err) == (0, "") and out.count(" | val IoU ") == 4
    assert files(seed_folder(results, "strconv-ups-dice")) == kept
    assert_same_outcome(results, reference, "mp-tr-bce")
    assert read(results, "mp-tr-bce")["seconds"] != read(reference, "mp-tr-bce")["seconds"]
    assert "--force" not in read(results, "mp-tr-bce")["command"]


def test_records_without_weights_stay_as_they_are(tmp_path, reference, here):
    results = tmp_path / "clone"
    shutil.copytree(reference, results, ignore=shutil.ignore_patterns("*.keras"))
    old = run_folder(results)
    before = {variant: files(old / variant) for variant in VARIANTS}
    code, out, err = here("--epochs", "4", "--variants", "mp-tr-bce", results=results)
    assert (code, err) == (0, "") and out.count(" | val IoU ") == 4
    assert f"{old} holds records without weights" in out and f"Results: {old}-2\n" in out
    assert {variant: files(old / variant) for variant in VARIANTS} == before
    new = json.loads(Path(f"{old}-2", "mp-tr-bce", "seed-0", "record.json").read_text())
    assert new["test"] == json.loads((old / "mp-tr-bce" / "seed-0" / "record.json").read_text())["test"]
    summary = (results / "summary.md").read_text()
    assert f"Run `{old.name}`" in summary and f"Run `{old.name}-2`" in summary

    code, out, err = here("--epochs", "4", "--variants", "mp-tr-bce", results=results)  # once more: nothing to do
    assert (code, err) == (0, "") and "mp-tr-bce seed 0: finished, kept\n" in out


# Other variants and targets


@pytest.mark.parametrize(
    "options, variant, channels",
    [
        (["--variants", "tutorial"], "tutorial", 3),
        (["--variants", "mp-tr-dice", "--target", "trimap"], "mp-tr-dice", 3),
        (["--variants", "strconv-tr-bce", "--target", "pet"], "strconv-tr-bce", 1),
    ],
    ids=["tutorial", "trimap", "pet"],
)
def test_every_kind_of_model_ends_with_scores(tmp_path, here, options, variant, channels):
    code, _, err = here("--epochs", "1", *options)
    assert (code, err) == (0, "")
    results = tmp_path / "results"
    record = read(results, variant)
    scores = [record["test"], record["test_flip"], record["trivial"]["all_foreground"], record["validation"]]
    assert all(map(finite, scores))
    assert ("per_class_iou" in record["test"]) == (channels == 3)
    assert weights(results, variant)[-1].shape == (channels,)
    assert record["config"]["target"] == ("trimap" if variant == "tutorial" else options[-1])
    summary = (results / "summary.md").read_text()
    row = next(line for line in summary.splitlines() if line.startswith(f"| `{variant}`"))
    assert f"| {record['test']['iou']:.3f} |" in row and f"| {record['test']['iou_border_excluded']:.3f} |" in row
    assert ("As three classes" in summary) == (channels == 3)


def test_a_diverging_model_is_named_and_the_others_go_on(tmp_path):
    absurd = """
import dataclasses, runpy, sys
from experiments.unets import recipes as unet_recipes
unet_recipes.PRESETS["smoke"] = dataclasses.replace(unet_recipes.PRESETS["smoke"], learning_rate=1e30)
sys.argv = sys.argv[1:]
sys.argv[sys.argv.index("strconv-ups-dice")] = "tutorial"  # which has a learning rate of its own
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    results = tmp_path / "results"
    with start(results, "-c", absurd) as session:
        assert session.finish() == 1
        assert session.stderr().startswith("error: mp-tr-bce seed 0 stopped: the loss became nan at step ")
        assert session.stderr().count("\n") == 1
    assert {label for label, _ in session.trained()} - {"mp-tr-bce seed 0"} == {"tutorial seed 0"}
    assert not (seed_folder(results, "mp-tr-bce") / "record.json").exists()
    assert finite(read(results, "tutorial")["test"])
    summary = (results / "summary.md").read_text()
    assert "This run is not complete. No record yet of `mp-tr-bce`, " in summary
    assert "| `tutorial` †" in summary
