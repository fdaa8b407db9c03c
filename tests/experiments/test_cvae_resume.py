"""Whole runs of `cvae.py`, killed and started again: what is lost (an epoch at most) and what comes out (the same)."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments import cvae
from experiments.cvaes.recipes import MODELS
from tests.experiments.sessions import ROOT, Session, files, finite, history, kill_after, read, run_here, weights

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "experiments" / "cvae.py"
COMMAND = shlex.split("--preset smoke --precision float32")
GLYPHS = ["--data", "glyphs"]
PICTURES = ("curves", "label_sweep", "latents", "reconstructions", "samples", "wrong_labels")
EPOCHS = [("tiny seed 0", epoch) for epoch in (1, 2, 3)] + [("standard seed 0", epoch) for epoch in (1, 2, 3, 4)]
"""What the command trains: the judge, then the model."""


def start(results, *before):
    return Session(results, *before, SCRIPT, *COMMAND, *GLYPHS)


def only(folders):
    folders = list(folders)
    assert len(folders) == 1
    return folders[0]


def model_folder(results, run="smoke", seed=0):
    return results / "cvae" / "glyphs" / run / "standard" / f"seed-{seed}"


def judge_folder(results):
    return results / "judge" / "glyphs" / "smoke" / "tiny" / "seed-0"


def pictures(folder):
    return {path.stem: path.read_bytes() for path in folder.glob("*.png")}


def assert_same_outcome(folder, reference):
    assert history(folder) == history(reference)
    one, other = read(folder), read(reference)
    assert one.keys() == other.keys()
    for name in one.keys() - {"seconds", "images_per_second"}:  # command, scores, the judge's accuracy, ...
        assert one[name] == other[name], name
    import tfcvae.model  # noqa: F401, registers the class that Keras loads

    for values, expected in zip(weights(folder), weights(reference), strict=True):
        np.testing.assert_array_equal(values, expected)
    assert pictures(folder) == pictures(reference)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Results of the run without interruption."""
    results = tmp_path_factory.mktemp("reference") / "results"
    with start(results) as session:
        assert session.finish() == 0, session.stderr()
        assert session.stderr() == "" and session.trained() == EPOCHS
    assert set(pictures(model_folder(results))) == set(PICTURES)
    assert pictures(results / "cvae" / "glyphs") == pictures(model_folder(results))
    return results


@pytest.fixture
def copy(reference, tmp_path):
    shutil.copytree(reference, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def here(tmp_path, monkeypatch, capfd):
    """A function that runs the script in this process."""

    def run(*options, data=GLYPHS):
        return run_here(monkeypatch, capfd, cvae, *COMMAND, *data, *options, "--results", tmp_path / "results")

    return run


# Killed


TEAR = """
import os, runpy, signal, sys
import numpy as np

whole = np.savez

def torn(path, **arrays):
    whole(path, **arrays)
    if "standard" in path.parts and path.with_name("checkpoint.npz").exists():
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

np.savez = torn
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script up to the model's second checkpoint, and kills it when half of that is written."""

KILLS = [  # in an order in which every moment is still to come
    ((), kill_after("tiny seed 0 | epoch 1/3 | loss", 0.1)),
    (("-c", TEAR), Session.was_killed),
    ((), kill_after("standard seed 0 | epoch 2/4 | loss", 0.2)),
    ((), kill_after("standard seed 0: scoring on the test split", 1.5)),
    ((), kill_after("Writing the summary", 0.3)),
]


def test_killed_run_ends_as_the_uninterrupted_one(tmp_path, reference):
    results, finished, epochs = tmp_path / "results", {}, []
    for before, kill in KILLS:
        with start(results, *before) as session:
            kill(session)
            epochs += session.trained()
        if before:
            torn = only(results.rglob(".checkpoint.*.tmp.npz"))
            assert torn.parent == model_folder(results)
            assert 2 * torn.stat().st_size == pytest.approx((torn.parent / "checkpoint.npz").stat().st_size, rel=0.1)
            assert epochs[-1] == ("standard seed 0", 1)
        for path in results.rglob("*.json"):
            json.loads(path.read_text())
        for record in results.rglob("record.json"):
            finished.setdefault(record.parent, files(record.parent))
    assert epochs == EPOCHS  # what was reported was saved: none of it was done twice
    assert list(finished) == [judge_folder(results), model_folder(results)]

    with start(results) as session:
        assert session.finish() == 0, session.stderr()
        assert session.stderr() == "" and session.trained() == []
        assert "standard seed 0: finished, kept" in session.lines
    assert_same_outcome(model_folder(results), model_folder(reference))
    assert_same_outcome(judge_folder(results), judge_folder(reference))
    for folder, before in finished.items():
        after = files(folder)
        assert all(after[path] == content for path, content in before.items() if path.stem != "curves")
    assert pictures(results / "cvae" / "glyphs") == pictures(reference / "cvae" / "glyphs")
    assert not [path for path in results.rglob("*") if ".tmp" in path.name or path.name == "checkpoint.npz"]
    row = "| `standard` | bernoulli | 32 | standard | 1.25 | 0.2 |"
    assert row in (results / "summary.md").read_text() and row in (reference / "summary.md").read_text()


# Run again


def test_a_finished_run_is_kept(copy, here):
    (copy / "other").mkdir()
    (copy / "other" / "record.json").write_text('{"experiment": "other"}')  # of a script that trains nothing
    before = files(copy / "judge"), files(model_folder(copy))
    code, out, err = here()
    assert (code, err) == (0, "") and " | loss " not in out
    assert "standard seed 0: finished, kept\n" in out
    kept = {path: content for path, content in before[1].items() if path.stem != "curves"}  # which is drawn anew
    assert (files(copy / "judge"), kept.items() <= files(model_folder(copy)).items()) == (before[0], True)
    assert pictures(model_folder(copy))["curves"] == next(c for p, (_, c) in before[1].items() if p.stem == "curves")
    assert "## other" in (copy / "summary.md").read_text()


def test_force_trains_the_model_again_and_keeps_the_judge(copy, reference, here):
    judge = files(copy / "judge")
    code, out, err = here("--force")
    assert (code, err) == (0, "") and files(copy / "judge") == judge
    assert out.count("standard seed 0 | epoch ") == 4 and "tiny seed 0 | epoch" not in out
    assert read(model_folder(copy))["seconds"] != read(model_folder(reference))["seconds"]
    for name in ("validation", "test", "judge"):
        assert read(model_folder(copy))[name] == read(model_folder(reference))[name], name
    assert history(model_folder(copy)) == history(model_folder(reference))
    assert "--force" not in read(model_folder(copy))["command"]


def test_another_seed_is_another_model_and_the_pictures_stay_the_first_ones(copy, reference, here):
    before = {path: content for path, content in files(model_folder(copy)).items() if path.stem != "curves"}
    code, out, err = here("--seed", "1", "0")
    assert (code, err) == (0, "") and "standard seed 0: finished, kept\n" in out
    assert out.count("standard seed 1 | epoch ") == 4
    assert before.items() <= files(model_folder(copy)).items()
    one, other = (read(model_folder(copy, seed=seed)) for seed in (0, 1))
    assert one["test"]["elbo"] != other["test"]["elbo"] and one["config"] == other["config"]
    assert one["judge"] == other["judge"] and one["data"] == other["data"]  # the same split and judge for every seed
    assert pictures(copy / "cvae" / "glyphs") == pictures(reference / "cvae" / "glyphs")
    table = [line for line in (copy / "summary.md").read_text().splitlines() if line.startswith("| `standard` |")]
    assert table[0].split("|")[2].strip() == "2"  # seeds


def test_records_without_weights_stay_as_they_are(copy, reference, here):
    for path in copy.rglob("*.keras"):
        path.unlink()
    before = files(copy / "judge" / "glyphs" / "smoke"), files(copy / "cvae" / "glyphs" / "smoke")
    code, out, err = here("--wrong-labels-only")
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert f"{copy / 'cvae' / 'glyphs'} holds no trained model (standard seed 0), and no weights of glyphs are" in err

    code, out, err = here()
    assert (code, err) == (0, "") and out.count(" | loss ") == len(EPOCHS)
    assert out.count("holds records without weights (as in a fresh clone): training in another folder.") == 2
    assert files(copy / "judge" / "glyphs" / "smoke") == before[0]
    kept = {path: content for path, content in before[1].items() if path.stem != "curves"}
    assert kept.items() <= files(copy / "cvae" / "glyphs" / "smoke").items()
    new = only(path for path in (copy / "cvae" / "glyphs").glob("smoke-*"))
    assert read(model_folder(copy, new.name))["test"] == read(model_folder(reference))["test"]
    summary = (copy / "summary.md").read_text()
    assert "Run `smoke`" in summary and f"Run `{new.name}`" in summary

    code, out, err = here()  # once more: nothing to do
    assert (code, err) == (0, "") and "standard seed 0: finished, kept\n" in out and " | loss " not in out


# The wrong-label picture


def test_the_wrong_label_picture_is_made_again_from_weights(copy, reference, here):
    (copy / "cvae" / "glyphs" / "wrong_labels.png").unlink()
    (model_folder(copy) / "wrong_labels.png").write_bytes(b"lost")
    before = {path: content for path, content in files(copy).items() if path.suffix != ".png"}
    code, out, err = here("--wrong-labels-only")
    assert (code, err) == (0, "") and f"Picture: {model_folder(copy) / 'wrong_labels.png'}\n" in out
    assert " | loss " not in out
    assert pictures(model_folder(copy)) == pictures(model_folder(reference))
    assert pictures(copy / "cvae" / "glyphs") == pictures(reference / "cvae" / "glyphs")
    assert {path: content for path, content in files(copy).items() if path.suffix != ".png"} == before


def test_no_wrong_label_picture_without_a_model(copy, here):
    before = {path: content[1] for path, content in files(copy).items()}
    code, _, err = here("--wrong-labels-only", "--seed", "5")
    line = f"{copy / 'cvae' / 'glyphs'} holds no trained model (standard seed 5), and no weights of glyphs are included"
    assert code == 2 and err.startswith(f"error: {line}") and err.count("\n") == 1
    assert {path: content[1] for path, content in files(copy).items()} == before


# Other models


def test_a_diverging_model_is_named_and_leaves_no_record(copy, reference, here):
    code, out, err = here("--learning-rate", "1e30")
    assert code == 1 and err.startswith("error: standard seed 0 stopped: the loss became ") and err.count("\n") == 1
    assert len(list((copy / "cvae").rglob("record.json"))) == 1  # the copy's own
    assert pictures(copy / "cvae" / "glyphs") == pictures(reference / "cvae" / "glyphs")
    assert f"Summary: {copy / 'summary.md'}\n" in out


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory):
    """A TFDS `data_dir` with a prepared `cifar10` of coloured digits, a little larger than the smoke preset takes."""
    import tensorflow_datasets as tfds

    from tfcvae import glyphs

    image = tfds.features.Image(shape=(32, 32, 3), encoding_format="png")
    folder = tmp_path_factory.mktemp("data")
    tfds.dataset_builders.store_as_tfds_dataset(
        name="cifar10",
        version="3.0.2",
        features=tfds.features.FeaturesDict({"image": image, "label": tfds.features.ClassLabel(num_classes=10)}),
        split_datasets={name: glyphs.examples(name, n, kind="colour") for name, n in (("train", 520), ("test", 110))},
        data_dir=folder,
    )
    return folder


def test_all_models_of_a_dataset(tmp_path, cifar10, here):
    options = ["--model", "all", "--epochs", "1"]
    code, out, err = here(*options, data=["--data", "cifar10", "--data-dir", cifar10])
    assert (code, err) == (0, "")
    assert "cifar10: 500 train images (100 of them for validation), 100 test images.\n" in out
    results = tmp_path / "results"
    run = only(path for path in (results / "cvae" / "cifar10").iterdir() if path.is_dir())
    records = {model: read(run / model / "seed-0") for model in MODELS["cifar10"]}
    assert list(records) == ["control", "density"]
    for record in records.values():
        scores = record["test"]
        assert finite({name: scores[name] for name in ("negative_elbo", "bits_per_dim", "kl", "reconstruction_error")})
        assert scores["bits_per_dim"] == pytest.approx(scores["negative_elbo"] / (32 * 32 * 3 * np.log(2)))
        assert record["class_names"][:2] == ["airplane", "automobile"]
        assert record["validation"]["relabel"]["images"] == record["test"]["relabel"]["images"] == 100
    readings = {model: list(record["test"]["relabel"]["readings"]) for model, record in records.items()}
    assert readings == {"control": ["a", "b", "prior_shift"], "density": ["a", "b"]}
    assert (records["control"]["test"]["latent_units"], records["density"]["test"]["latent_units"]) == (128, 1024)
    for model in records:
        assert set(pictures(run / model / "seed-0")) == set(PICTURES)
    assert pictures(results / "cvae" / "cifar10") == pictures(run / "control" / "seed-0")
    assert (run / "tradeoff.png").is_file() and "--data-dir" not in records["control"]["command"]
    summary = (results / "summary.md").read_text()
    assert all(f"| `{model}` |" in summary or f"**`{model}`**" in summary for model in records)
    assert Path(run / "tradeoff.png").relative_to(results).as_posix() in summary
