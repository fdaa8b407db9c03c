"""Whole runs of the matrix, killed and started again: what is lost (an epoch at most) and what comes out (the same)."""

import shlex

import pytest

from experiments import run_unet_matrix
from tests.experiments.sessions import (
    ROOT,
    Session,
    assert_same_outcome,
    files,
    finish_here,
    finite,
    kill_after,
    kill_in_turn,
    read,
    run_here,
    torn_at,
    torn_checkpoint,
    trained,
    weights,
)

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "experiments" / "run_unet_matrix.py"
BASE = shlex.split("--preset smoke --data shapes --precision float32")
VARIANTS = ("mp-tr-bce", "strconv-ups-dice")
EPOCHS = [(f"{variant} seed 0", epoch) for variant in VARIANTS for epoch in (1, 2, 3)]
COMMAND = [*BASE, "--epochs", "3", "--half-size", "0.3", "--variants", *VARIANTS, "--cache", "disk"]
KILLS = [
    ((), kill_after("mp-tr-bce seed 0 | epoch 1/3 | loss", 0.05, Session.interrupt)),
    (torn_at("strconv-ups-dice"), Session.was_killed),
]


def run_folder(results):
    (folder,) = (path for path in (results / "unet" / "shapes").iterdir() if path.is_dir())
    return folder


def seed_folder(results, variant):
    return run_folder(results) / variant / "seed-0"


def test_killed_run_ends_as_the_uninterrupted_one(tmp_path, monkeypatch, capfd):
    reference, results = tmp_path / "reference", tmp_path / "results"
    finish_here(run_unet_matrix, *COMMAND, "--results", reference)
    capfd.readouterr()
    epochs = kill_in_turn(results, (SCRIPT, *COMMAND), KILLS)
    torn_checkpoint(results, "strconv-ups-dice")
    finished = seed_folder(results, "mp-tr-bce")
    assert [path.parent for path in results.rglob("record.json")] == [finished]
    before = files(finished)

    code, out, err = run_here(monkeypatch, capfd, run_unet_matrix, *COMMAND, "--results", results)
    assert (code, err) == (0, "") and "mp-tr-bce seed 0: finished, kept\n" in out
    epochs += trained(out.splitlines())
    assert epochs == [epoch for epoch in EPOCHS if epoch in epochs]  # what was reported was saved: none is done twice
    assert len(EPOCHS) - len(epochs) <= 1  # an epoch may be saved and the session interrupted before it says so
    for variant in VARIANTS:
        assert_same_outcome(seed_folder(results, variant), seed_folder(reference, variant))
    assert files(finished) == before  # not trained or written again
    assert [path for path in run_folder(results).rglob(".*") if path.name != ".lock"] == []
    assert not any(results.rglob("checkpoint.npz")) and not any(results.rglob("cache-*"))
    own_table, summary = out[out.index("| variant |") :], (results / "summary.md").read_text()
    assert own_table.endswith(f"\n\nSummary: {results / 'summary.md'}\n")
    assert [row in summary and row.startswith("| `") for row in own_table.splitlines()[2:4]] == [True, True]
    assert (run_folder(results) / "comparison.png").is_file()


def test_the_pet_without_its_border_and_the_articles_model_which_always_has_three_classes(tmp_path):
    options = ["--epochs", "1", "--target", "pet", "--variants", "mp-tr-dice", "tutorial"]
    finish_here(run_unet_matrix, *BASE, *options, "--results", tmp_path)
    summary = (tmp_path / "summary.md").read_text()
    assert "As three classes" in summary
    for variant, channels in (("mp-tr-dice", 1), ("tutorial", 3)):
        record = read(seed_folder(tmp_path, variant))
        for scores in (record["test"], record["test_flip"], record["trivial"]["all_foreground"], record["validation"]):
            assert finite(scores)
        row = next(line for line in summary.splitlines() if line.startswith(f"| `{variant}`"))
        assert f"| {record['test']['iou']:.3f} |" in row and f"| {record['test']['iou_border_excluded']:.3f} |" in row
        assert record["config"]["target"] == {1: "pet", 3: "trimap"}[channels]
        assert len(record["test"].get("per_class_iou", ["foreground"])) == channels
        assert weights(seed_folder(tmp_path, variant))[-1].shape == (channels,)
