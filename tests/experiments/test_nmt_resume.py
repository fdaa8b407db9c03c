"""Whole runs of `nmt.py`, killed and started again: an epoch at most is lost, and what comes out is the same."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from experiments import nmt
from tests.experiments.sessions import (
    ROOT,
    Session,
    finish_here,
    history,
    kill_after,
    read,
    run_here,
    torn_at,
    torn_checkpoint,
    weights,
)

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "experiments" / "nmt.py"
COMMAND = shlex.split("--data numbers --preset smoke --epochs 4 --ema 0.5 --precision float32")
EPOCHS = [("small seed 0", epoch) for epoch in (1, 2, 3, 4)]


def model_folder(results):
    (folder,) = Path(results).glob("nmt/numbers/*/small/seed-0")
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The folder of a model that was trained without interruption."""
    results = tmp_path_factory.mktemp("reference") / "results"
    finish_here(nmt, *COMMAND, "--results", results)
    return model_folder(results)


def test_killed_run_ends_as_the_uninterrupted_one(tmp_path, reference, monkeypatch, capfd):
    results, epochs = tmp_path / "results", []
    kills = [  # in an order in which every moment is still to come
        (torn_at("small"), Session.was_killed),
        ((), kill_after("small seed 0 | epoch 3/4 | loss", 0.1)),
        ((), kill_after("small seed 0: scoring on the test split", 1.0)),
    ]
    for before, kill in kills:
        with Session(results, *before, SCRIPT, *COMMAND) as session:
            kill(session)
        if before:
            torn_checkpoint(results, "small")
        assert not (model_folder(results) / "record.json").exists()
        epochs += session.trained()
    status, out, err = run_here(monkeypatch, capfd, nmt, *COMMAND, "--results", results)
    assert (status, err) == (0, "") and " | loss " not in out
    assert sorted(set(epochs)) == EPOCHS and len(epochs) <= len(EPOCHS) + len(kills)

    folder = model_folder(results)
    assert history(folder) == history(reference)
    one, other = read(folder), read(reference)
    assert one.keys() == other.keys()
    for name in one.keys() - {"seconds", "sentences_per_second", "tokens_per_second", "test"}:
        assert one[name] == other[name], name
    assert one["test"] | {"seconds": 0} == other["test"] | {"seconds": 0}
    for values, expected in zip(weights(folder), weights(reference), strict=True):
        np.testing.assert_array_equal(values, expected)
    for name in ("translations.txt", "tokenizer.json", "attention.png"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes()
    status, out, err = run_here(monkeypatch, capfd, nmt, *COMMAND, "--results", results)
    assert (status, err) == (0, "") and "small seed 0: finished, kept" in out
