"""Conditional VAEs on labelled images of one's own: a folder a class, or a TFDS dataset by name."""

from functools import partial

import numpy as np
import pytest

from experiments import cvae
from experiments.cvaes import sources
from experiments.cvaes.own_images import of_tfds
from experiments.cvaes.recipes import make_recipe
from experiments.harness.data import datasets
from experiments.harness.running.errors import UserError
from tests.experiments.sessions import read, store
from tests.experiments.test_class_folders import GREYS, write


@pytest.fixture
def here(start_here):
    return partial(start_here, cvae, "--preset", "smoke", "--precision", "float32")


def test_a_folder_says_its_classes_and_the_work(tmp_path, here):
    code, out, err = here("--data", write(tmp_path / "pets"), "--image-size", "28", "--epochs", "2", "--dry-run")
    assert (code, err) == (None, "")
    assert "Classes: 0 cat, 1 dog, 2 owl" in out
    assert "own-pets: 24 train images (3 of them for validation), 6 test images." in out
    assert "standard           seed 0  to do     2 epochs, 42 images" in out and "bernoulli_grey" in out


@pytest.mark.parametrize(
    "options, line",
    [
        (
            ["--data", "pets", "--model", "control"],
            "--model must be one of standard or all for mnist. Received: control",
        ),
        (["--data", "glyphs", "--image-size", "28"], "--image-size is of your own data; glyphs has its own"),
    ],
)
def test_what_cannot_work_is_told(tmp_path, monkeypatch, here, options, line):
    write(tmp_path / "pets", 4)
    monkeypatch.chdir(tmp_path)
    code, _, err = here(*options)
    assert code == 2 and err.startswith(f"error: {line}") and err.count("\n") == 1


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A TFDS `data_dir`: 20 colour images of 40 x 36 pixels, of two classes, as bright as their class says."""
    import tensorflow_datasets as tfds

    labels = tfds.features.ClassLabel(names=["day", "night"])
    features = {"image": tfds.features.Image(shape=(40, 36, 3)), "label": labels}
    skies = [{"image": np.full((40, 36, 3), 30 + 150 * (n % 2), np.uint8), "label": n % 2} for n in range(20)]
    root = tmp_path_factory.mktemp("tfds")
    store(root, "skies", features, {"train": skies, "test": skies[:6]})
    store(root, "clouds", features, {"train": skies, "validation": skies[:8], "test": skies[:6]})
    store(root, "trains", features, {"train": skies})
    return root


def test_a_tfds_dataset_by_name_is_resized(prepared):
    choice = datasets.choose("skies", "mnist", "glyphs", str(prepared))
    shape, names, splits = sources.tfds_images(choice)
    assert (shape, names) == ((32, 32, 3), ("day", "night")) and sources.tfds_images(choice, 28)[0] == (28, 28, 3)
    data = of_tfds(choice, shape, names, splits, test_limit=4)
    assert data.sizes == {"train": 18, "validation": 2, "test": 4} and data.family == "cifar10"
    images, labels = data.arrays("test")
    assert images.shape == (4, 32, 32, 3) and labels.tolist() == [0, 1, 0, 1]
    assert np.allclose(images, (30 + 150 * labels)[:, None, None, None] / 255)


def test_a_tfds_datasets_own_validation_split_chooses_the_epoch(prepared):
    choice = datasets.choose("clouds", "mnist", "glyphs", str(prepared))
    data = of_tfds(choice, *sources.tfds_images(choice), train_limit=4)
    assert data.sizes == {"train": 4, "validation": 4, "test": 6} and set(data.fingerprint) == set(data.sizes)
    with pytest.raises(UserError, match="trains has the splits train; it needs train, and test or validation"):
        sources.tfds_images(datasets.choose("trains", "mnist", "glyphs", str(prepared)))


def test_grey_images_are_kept_grey_unless_asked_otherwise():
    asked, shape = {"likelihood": "bernoulli"}, (32, 32, 1)
    found = [make_recipe("mnist", "standard", "cpu", *more) for more in (({}, shape), (asked, shape), ({}, None))]
    assert [recipe.likelihood for recipe in found] == ["bernoulli_grey", "bernoulli", "bernoulli"]


@pytest.mark.slow
def test_a_folder_is_trained_on_and_pictured(tmp_path, here):
    code, out, err = here("--data", write(tmp_path / "pets", 40), "--epochs", "1")
    assert (code, err) == (0, "")
    (run,) = (tmp_path / "results/cvae/own-pets").glob("smoke*")
    record = read(run / "standard/seed-0")
    assert record["class_names"] == list(GREYS) and record["config"]["wrong_labels"] == 2
    assert record["data"]["image_shape"] == [32, 32, 1] and record["data"]["class_names"] == list(GREYS)
    assert record["config"]["flip"] is False and "style" not in record["test"]["relabel"]
    for name in ("wrong_labels", "label_sweep", "samples", "reconstructions", "latents"):
        assert (run / "standard/seed-0" / f"{name}.png").stat().st_size > 1000
    assert "own-pets" in (tmp_path / "results/summary.md").read_text()
