"""Whole runs of `cvae.py`, killed and started again: what is lost (an epoch at most) and what comes out (the same)."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments import cvae
from tests.experiments.sessions import (
    ROOT,
    Session,
    files,
    finish_here,
    finite,
    history,
    kill_after,
    read,
    run_here,
    torn_at,
    torn_checkpoint,
    weights,
)

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "experiments" / "cvae.py"
COMMAND = shlex.split("--preset smoke --precision float32")
DATA = ["--data", "glyphs-colour", "--adversary-weight", "1"]
"""A model with all that there is to go on with: two optimizers, an adversary with the vectors of its spectral norms,
averaged weights."""

PICTURES = ("curves", "label_sweep", "latents", "reconstructions", "samples", "wrong_labels")
LENGTHS = {"tiny seed 0": 3, "plain-tiny seed 1": 3, "tiny seed 2": 3, "standard seed 0": 4}
EPOCHS = [(label, epoch + 1) for label, epochs in LENGTHS.items() for epoch in range(epochs)]
"""What the command trains: two judges, the feature network, the model."""


def start(results, *before):
    return Session(results, *before, SCRIPT, *COMMAND, *DATA)


def only(folders):
    folders = list(folders)
    assert len(folders) == 1
    return folders[0]


def of_data(results):
    return results / "cvae" / "glyphs-colour"


def run_folder(results):
    return only(path for path in (of_data(results)).iterdir() if path.is_dir())


def model_folder(results, seed=0):
    return run_folder(results) / "standard" / f"seed-{seed}"


def classifier_folders(results):
    return sorted(path.parent for kind in ("judge", "features") for path in (results / kind).rglob("config.json"))


def classifiers(results):
    return {folder: files(folder) for folder in classifier_folders(results)}


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
    finish_here(cvae, *COMMAND, *DATA, "--results", results)
    assert set(pictures(model_folder(results))) == set(PICTURES)
    assert pictures(of_data(results)) == pictures(model_folder(results))
    return results


@pytest.fixture
def copy(reference, tmp_path):
    shutil.copytree(reference, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def here(tmp_path, monkeypatch, capfd):
    """A function that runs the script in this process."""

    def run(*options, data=DATA):
        return run_here(monkeypatch, capfd, cvae, *COMMAND, *data, *options, "--results", tmp_path / "results")

    return run


# Killed


KILLS = [  # in an order in which every moment is still to come
    ((), kill_after("tiny seed 0 | epoch 1/3 | loss", 0.1)),
    (torn_at("standard"), Session.was_killed),
    ((), kill_after("standard seed 0: scoring on the test split", 1.5)),
]


def test_killed_run_ends_as_the_uninterrupted_one(tmp_path, reference, here):
    results, before, epochs = tmp_path / "results", {}, []
    for tear, kill in KILLS:
        with start(results, *tear) as session:
            kill(session)
            epochs += session.trained()
        if tear:
            assert torn_checkpoint(results, "standard").parent == model_folder(results)
            before = classifiers(results)
            whole = np.load(model_folder(results) / "checkpoint.npz")
            assert str(whole["meta"]).count('"val_loss"') == 1  # of an epoch: the others are trained after it
        for path in results.rglob("*.json"):
            json.loads(path.read_text())
    assert epochs == [epoch for epoch in EPOCHS if epoch in epochs]  # what was reported was saved: none is done twice
    assert len(EPOCHS) - len(epochs) <= 1  # an epoch may be saved and the session killed before it says so
    assert not (model_folder(results) / "record.json").exists()

    code, out, err = here()
    assert (code, err) == (0, "") and " | loss " not in out
    assert {"adversary", "realism", "classifier", "layout"} <= set(history(model_folder(results))[-1])
    assert_same_outcome(model_folder(results), model_folder(reference))
    assert classifiers(results) == before and len(before) == 3  # not trained or written again
    for folder in classifier_folders(results):
        assert_same_outcome(folder, reference / folder.relative_to(results))
    assert pictures(of_data(results)) == pictures(of_data(reference))
    assert not [path for path in results.rglob("*") if ".tmp" in path.name or path.name == "checkpoint.npz"]
    row = "| `standard` | features (an energy) | 32 | standard |"
    assert row in (results / "summary.md").read_text() and row in (reference / "summary.md").read_text()


# Run again


def test_a_finished_run_is_kept_and_what_it_shows_is_made_again(copy, here):
    """As after a kill while the summary was written."""
    (copy / "other").mkdir()
    (copy / "other" / "record.json").write_text('{"experiment": "other"}')  # of a script that trains nothing
    shown = pictures(of_data(copy))
    before = classifiers(copy), files(model_folder(copy))
    for path in (
        (of_data(copy)).glob("*.png"),
        (model_folder(copy) / "curves.png", copy / "summary.md"),
    ):
        for lost in path:
            lost.unlink()
    code, out, err = here()
    assert (code, err) == (0, "") and " | loss " not in out
    assert "standard seed 0: finished, kept\n" in out
    kept = {path: content for path, content in before[1].items() if path.stem != "curves"}  # which is drawn anew
    assert (classifiers(copy), kept.items() <= files(model_folder(copy)).items()) == (before[0], True)
    assert pictures(of_data(copy)) == pictures(model_folder(copy)) == shown
    assert "## other" in (copy / "summary.md").read_text()


def test_another_seed_trained_again_by_force_leaves_all_else_alone(copy, reference, here):
    shutil.copytree(model_folder(copy), model_folder(copy, seed=1))  # finished already
    before = {path: content for path, content in files(copy).items() if path.suffix in (".json", ".keras", ".csv")}
    code, out, err = here("--seed", "1", "--force")
    assert (code, err) == (0, "") and "tiny seed 0 | epoch" not in out
    assert out.count("standard seed 1 | epoch ") == 4
    after = files(copy)
    assert {path.parent for path in before if after[path] != before[path]} == {model_folder(copy, seed=1)}
    one, other = (read(model_folder(copy, seed=seed)) for seed in (0, 1))
    assert one["test"]["kl"] != other["test"]["kl"] and one["config"] == other["config"]
    assert one["judge"] == other["judge"] and one["data"] == other["data"]  # the same split and judge for every seed
    assert other["seed"] == 1 and "--force" not in other["command"]
    assert pictures(of_data(copy)) == pictures(of_data(reference))  # the first seed's
    table = [line for line in (copy / "summary.md").read_text().splitlines() if line.startswith("| `standard` |")]
    assert table[0].split("|")[2].strip() == "2"  # seeds


def test_records_without_weights_stay_as_they_are(copy, here):
    for path in copy.rglob("*.keras"):
        path.unlink()
    before = classifiers(copy), files(run_folder(copy))
    code, out, err = here("--wrong-labels-only")
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert f"{of_data(copy)} holds no trained model (standard seed 0), and no weights of glyphs-colour are" in err

    code, out, err = here("--dry-run")
    assert (code, err) == (None, "") and "1 of 1 models to train" in out and "judge tiny seed 0: 3 epochs" in out
    assert out.count("holds records without weights (as in a fresh clone): training in another folder.") == 3
    assert (classifiers(copy), files(run_folder(copy))) == before


# The wrong-label picture


def test_the_wrong_label_picture_is_made_again_from_weights(copy, reference, here):
    (of_data(copy) / "wrong_labels.png").unlink()
    (model_folder(copy) / "wrong_labels.png").write_bytes(b"lost")
    before = {path: content for path, content in files(copy).items() if path.suffix != ".png"}
    code, out, err = here("--wrong-labels-only")
    assert (code, err) == (0, "") and f"Picture: {model_folder(copy) / 'wrong_labels.png'}\n" in out
    assert " | loss " not in out
    assert pictures(model_folder(copy)) == pictures(model_folder(reference))
    assert pictures(of_data(copy)) == pictures(of_data(reference))
    assert {path: content for path, content in files(copy).items() if path.suffix != ".png"} == before


def test_no_wrong_label_picture_without_a_model(copy, here):
    before = {path: content[1] for path, content in files(copy).items()}
    code, _, err = here("--wrong-labels-only", "--seed", "5")
    line = f"{of_data(copy)} holds no trained model (standard seed 5), and no weights of glyphs-colour are included"
    assert code == 2 and err.startswith(f"error: {line}") and err.count("\n") == 1
    assert {path: content[1] for path, content in files(copy).items()} == before


# Other models


def test_a_diverging_model_is_named_and_leaves_no_record(copy, reference, here):
    code, out, err = here("--learning-rate", "1e30")
    assert code == 1 and err.startswith("error: standard seed 0 stopped: the loss became ") and err.count("\n") == 1
    assert len(list((copy / "cvae").rglob("record.json"))) == 1  # the copy's own
    assert pictures(of_data(copy)) == pictures(of_data(reference))
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


def test_several_models_of_a_dataset(tmp_path, cifar10, here):
    names = ["control", "features", "density"]
    options = ["--model", *names, "--epochs", "1"]
    code, out, err = here(*options, data=["--data", "cifar10", "--data-dir", cifar10])
    assert (code, err) == (0, "")
    assert "cifar10: 500 train images (100 of them for validation), 100 test images.\n" in out
    results = tmp_path / "results"
    run = only(path for path in (results / "cvae" / "cifar10").iterdir() if path.is_dir())
    records = {model: read(run / model / "seed-0") for model in names}
    for record in records.values():
        scores = record["test"]
        assert finite({name: scores[name] for name in ("kl", "reconstruction_error")})
        assert ("features" in record) == ("negative_elbo" not in scores) == (record is not records["density"])
        assert record["class_names"][:2] == ["airplane", "automobile"]
        assert record["validation"]["relabel"]["images"] == record["test"]["relabel"]["images"] == 100
        readings, judges = scores["relabel"]["readings"], record["judge"]["judges"]
        assert list(readings) == ["a", "b"] and list(judges) == ["tiny", "plain-tiny"]
        for reading in (*readings.values(), scores["sample_accuracy"]):
            assert reading["accuracy"] == min(reading["judges"].values()) and set(reading["judges"]) == set(judges)
        assert record["judge"]["accuracy"] == min(facts["accuracy"] for facts in judges.values())
        assert finite(scores["relabel"]["realism"])
    scores = records["density"]["test"]
    assert scores["bits_per_dim"] == pytest.approx(scores["negative_elbo"] / (32 * 32 * 3 * np.log(2)))
    assert (records["control"]["test"]["latent_units"], scores["latent_units"]) == (128, 1024)
    for model in records:
        assert set(pictures(run / model / "seed-0")) == set(PICTURES)
    assert pictures(results / "cvae" / "cifar10") == pictures(run / "control" / "seed-0")
    assert (run / "tradeoff.png").is_file() and "--data-dir" not in records["control"]["command"]
    summary = (results / "summary.md").read_text()
    assert all(f"| `{model}` |" in summary or f"**`{model}`**" in summary for model in records)
    assert Path(run / "tradeoff.png").relative_to(results).as_posix() in summary
