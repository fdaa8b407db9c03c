"""Whole runs of `cvae.py`, killed and started again: what is lost (an epoch at most) and what comes out (the same)."""

import shlex
import shutil
from functools import partial

import numpy as np
import pytest

from experiments import cvae
from tests.experiments.sessions import (
    ROOT,
    Session,
    assert_same_outcome,
    files,
    finish_here,
    finite,
    history,
    kill_after,
    kill_in_turn,
    read,
    store,
    torn_at,
    torn_checkpoint,
    trained,
)

pytestmark = pytest.mark.slow

COMMAND = shlex.split("--preset smoke --precision float32")
DATA = ["--data", "glyphs-colour", "--adversary-weight", "1"]
"""A model with all that there is to go on with: two optimizers, an adversary with the vectors of its spectral norms,
averaged weights."""

PICTURES = {"curves", "label_sweep", "latents", "reconstructions", "samples", "wrong_labels"}
LENGTHS = {"tiny seed 0": 3, "plain-tiny seed 1": 3, "tiny seed 2": 3, "standard seed 0": 4}
EPOCHS = [(label, epoch + 1) for label, epochs in LENGTHS.items() for epoch in range(epochs)]
"""What the command trains: two judges, the feature network, the model."""

KILLS = [((), kill_after("tiny seed 0 | epoch 1/3 | loss", 0.1)), (torn_at("standard"), Session.was_killed)]


def of_data(results):
    return results / "cvae" / "glyphs-colour"


def run_folder(results, data="glyphs-colour"):
    (folder,) = (path for path in (results / "cvae" / data).iterdir() if path.is_dir())
    return folder


def model_folder(results):
    return run_folder(results) / "standard" / "seed-0"


def classifiers(results):
    """Folder and files of each judge and feature network."""
    folders = [path.parent for kind in ("judge", "features") for path in (results / kind).rglob("config.json")]
    return {folder: files(folder) for folder in sorted(folders)}


def pictures(folder):
    return {path.stem: path.read_bytes() for path in folder.glob("*.png")}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Results of the run without interruption."""
    results = tmp_path_factory.mktemp("reference") / "results"
    finish_here(cvae, *COMMAND, *DATA, "--results", results)
    assert set(pictures(model_folder(results))) == PICTURES
    assert pictures(of_data(results)) == pictures(model_folder(results))
    return results


@pytest.fixture
def copy(reference, tmp_path):
    shutil.copytree(reference, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def here(start_here):
    return partial(start_here, cvae, *COMMAND)


def test_killed_run_ends_as_the_uninterrupted_one(tmp_path, reference, here):
    results = tmp_path / "results"
    epochs = kill_in_turn(results, (ROOT / "experiments" / "cvae.py", *COMMAND, *DATA), KILLS)
    assert torn_checkpoint(results, "standard").parent == model_folder(results)
    before = classifiers(results)
    whole = np.load(model_folder(results) / "checkpoint.npz")
    assert str(whole["meta"]).count('"val_loss"') == 1  # of an epoch: the others are trained after it

    code, out, err = here(*DATA)
    assert (code, err) == (0, "")
    epochs += trained(out.splitlines())
    assert epochs == [epoch for epoch in EPOCHS if epoch in epochs]  # what was reported was saved: none is done twice
    assert len(EPOCHS) - len(epochs) <= 1  # an epoch may be saved and the session killed before it says so
    assert {"adversary", "realism", "classifier", "layout"} <= set(history(model_folder(results))[-1])
    assert classifiers(results) == before and len(before) == 3  # not trained or written again
    for folder in (model_folder(results), *before):
        assert_same_outcome(folder, reference / folder.relative_to(results))
    for folder in (of_data, model_folder):
        assert pictures(folder(results)) == pictures(folder(reference))
    assert not [path for path in results.rglob("*") if ".tmp" in path.name or path.name == "checkpoint.npz"]
    row = "| `standard` | features (an energy) | 32 | standard |"
    assert row in (results / "summary.md").read_text() and row in (reference / "summary.md").read_text()


def test_a_finished_run_is_kept_and_what_it_shows_is_made_again(copy, here):
    """As after a kill while the summary was written; the wrong-label picture from the weights, too."""
    (copy / "other").mkdir()
    (copy / "other" / "record.json").write_text('{"experiment": "other"}')  # of a script that trains nothing
    shown = pictures(of_data(copy))
    before = classifiers(copy), files(model_folder(copy))
    for lost in (*of_data(copy).glob("*.png"), model_folder(copy) / "curves.png", copy / "summary.md"):
        lost.unlink()
    code, out, err = here(*DATA)
    assert (code, err) == (0, "") and " | loss " not in out and "standard seed 0: finished, kept\n" in out
    kept = {path: content for path, content in before[1].items() if path.stem != "curves"}  # which is drawn anew
    assert (classifiers(copy), kept.items() <= files(model_folder(copy)).items()) == (before[0], True)
    assert pictures(of_data(copy)) == pictures(model_folder(copy)) == shown
    assert "## other" in (copy / "summary.md").read_text()

    (of_data(copy) / "wrong_labels.png").unlink()
    (model_folder(copy) / "wrong_labels.png").write_bytes(b"lost")
    before = {path: content for path, content in files(copy).items() if path.suffix != ".png"}
    code, out, err = here(*DATA, "--wrong-labels-only")
    assert (code, err) == (0, "") and f"Picture: {model_folder(copy) / 'wrong_labels.png'}\n" in out
    assert " | loss " not in out and pictures(of_data(copy)) == pictures(model_folder(copy)) == shown
    assert {path: content for path, content in files(copy).items() if path.suffix != ".png"} == before


@pytest.fixture
def cifar10(tmp_path_factory):
    """A TFDS `data_dir` with a prepared `cifar10` of coloured digits, a little larger than the smoke preset takes."""
    import tensorflow_datasets as tfds

    from tfcvae import glyphs

    image = tfds.features.Image(shape=(32, 32, 3), encoding_format="png")
    features = {"image": image, "label": tfds.features.ClassLabel(num_classes=10)}
    splits = {name: glyphs.examples(name, n, kind="colour") for name, n in (("train", 520), ("test", 110))}
    folder = tmp_path_factory.mktemp("data")
    store(folder, "cifar10", features, {name: examples.as_numpy_iterator() for name, examples in splits.items()})
    return folder


def test_several_models_of_a_dataset(tmp_path, cifar10, here):
    names = ["control", "density"]
    code, out, err = here("--data", "cifar10", "--data-dir", cifar10, "--model", *names, "--epochs", "1")
    assert (code, err) == (0, "")
    assert "cifar10: 500 train images (100 of them for validation), 100 test images.\n" in out
    results, run = tmp_path / "results", run_folder(tmp_path / "results", "cifar10")
    records = {model: read(run / model / "seed-0") for model in names}
    for record in records.values():
        scores = record["test"]
        assert finite({name: scores[name] for name in ("kl", "reconstruction_error")})
        assert ("features" in record) == ("negative_elbo" not in scores) == (record is not records["density"])
        assert finite(scores["relabel"]["realism"])
    scores = records["density"]["test"]
    assert scores["bits_per_dim"] == pytest.approx(scores["negative_elbo"] / (32 * 32 * 3 * np.log(2)))
    assert (records["control"]["test"]["latent_units"], scores["latent_units"]) == (128, 1024)
    assert all(set(pictures(run / model / "seed-0")) == PICTURES for model in records)
    assert pictures(results / "cvae" / "cifar10") == pictures(run / "control" / "seed-0")
    assert (run / "tradeoff.png").is_file() and "--data-dir" not in records["control"]["command"]
    summary = (results / "summary.md").read_text()
    assert all(f"| `{model}` |" in summary or f"**`{model}`**" in summary for model in records)
    assert (run / "tradeoff.png").relative_to(results).as_posix() in summary
