"""A whole run of `nmt.py`, killed and started again: an epoch at most is lost, and what comes out is the same."""

import shlex

import pytest

from experiments import nmt
from tests.experiments.sessions import (
    ROOT,
    Session,
    assert_same_outcome,
    finish_here,
    kill_after,
    kill_in_turn,
    run_here,
    torn_at,
    trained,
)

pytestmark = pytest.mark.slow

COMMAND = shlex.split("--data numbers --preset smoke --epochs 4 --ema 0.5 --precision float32")
EPOCHS = [("small seed 0", epoch) for epoch in (1, 2, 3, 4)]
KILLS = [
    (torn_at("small"), Session.was_killed),
    ((), kill_after("small seed 0: scoring on the test split", 1.0)),
]


def model_folder(results):
    (folder,) = results.glob("nmt/numbers/*/small/seed-0")
    return folder


def test_killed_run_ends_as_the_uninterrupted_one(tmp_path, monkeypatch, capfd):
    reference, results = tmp_path / "reference", tmp_path / "results"
    finish_here(nmt, *COMMAND, "--results", reference)
    capfd.readouterr()
    epochs = kill_in_turn(results, (ROOT / "experiments" / "nmt.py", *COMMAND), KILLS)
    assert not (model_folder(results) / "record.json").exists()
    status, out, err = run_here(monkeypatch, capfd, nmt, *COMMAND, "--results", results)
    assert (status, err) == (0, "") and trained(out.splitlines()) == []
    assert sorted(set(epochs)) == EPOCHS and len(epochs) <= len(EPOCHS) + 1

    folder, expected = model_folder(results), model_folder(reference)
    assert_same_outcome(folder, expected)
    for name in ("translations.txt", "tokenizer.json", "attention.png"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()
