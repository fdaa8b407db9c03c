"""Data of one's own, from files to records, pictures and masks."""

import numpy as np
import pytest
from PIL import Image

from experiments import run_unet_matrix, segment
from experiments.cvaes.sources import tfds_images
from experiments.harness.data import datasets
from experiments.harness.running.errors import UserError
from experiments.unets.own_data import from_pairs, from_tfds
from experiments.unets.pairs import read_pairs
from experiments.unets.report import unet_section
from tests.experiments.sessions import read, run_here, store

NAMES = ("land", "sea", "road")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten photos, grey and of 16 bits too, whose brightness tells the three classes apart; a frame is to be ignored."""
    root, rng = tmp_path_factory.mktemp("own") / "streets", np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for n in range(10):
        ids = np.kron(rng.integers(0, 3, (3, 4)), np.ones((8, 8))).astype(np.uint8)
        grey = 20 + 100 * ids
        kinds = [grey, grey.astype(np.uint16) * 257, np.repeat(grey[..., None], 3, axis=2)]
        Image.fromarray(kinds[n % 3]).save(root / "images" / f"{n}.png")
        ids[0] = ids[:, 0] = 255
        Image.fromarray(ids).save(root / "masks" / f"{n}.png")
    (root / "classes.txt").write_text("\n".join(NAMES))
    return root


def test_examples_are_the_photos_and_the_ids_of_their_masks(folder):
    pairs = read_pairs(folder)
    data = from_pairs("own-streets", pairs)
    assert data.sizes == {"train": 7, "validation": 1, "test": 2} and data.classes.names == NAMES
    for split, size in data.sizes.items():
        examples = list(getattr(data, split).as_numpy_iterator())
        assert len(examples) == size
        for example, (photo, mask) in zip(examples, pairs.splits[split], strict=True):
            ids = example["segmentation_mask"][..., 0]
            assert np.array_equal(ids, np.asarray(Image.open(mask)))
            inner = ids[1:, 1:]
            assert np.array_equal(example["image"][1:, 1:, 0], 20 + 100 * inner)
            assert example["file_name"].decode() == photo.name
    assert from_pairs("x", pairs, 5, 1).sizes == {"train": 4, "validation": 1, "test": 1}


def test_a_matrix_on_a_folder_and_masks_from_its_weights(folder, tmp_path, monkeypatch, capfd):
    options = ["--data", folder, "--preset", "smoke", "--variants", "mp-tr-dice", "--epochs", "1"]
    options += ["--image-size", "16", "--precision", "float32", "--results", tmp_path / "results"]
    code, out, err = run_here(monkeypatch, capfd, run_unet_matrix, *options)
    assert (code, err) == (0, "") and "mp-tr-dice seed 0: test IoU" in out
    (run,) = (tmp_path / "results/unet/own-streets").iterdir()
    model = run / "mp-tr-dice/seed-0"
    record = read(model)
    assert record["config"]["target"] == "ids" and record["data"]["classes"]["names"] == list(NAMES)
    scores = record["test"]
    assert list(scores["per_class_iou"]) == list(NAMES)
    pixels = np.array(scores["confusion"])
    hits, either = np.diag(pixels), pixels.sum(0) + pixels.sum(1) - np.diag(pixels)
    found = either > 0
    assert scores["iou"] == pytest.approx((hits[found] / either[found]).mean())
    assert 400 < pixels.sum() < 512  # of two images of 16 x 16, the frame is ignored
    text = unet_section([record | {"folder": "x"}], tmp_path)
    assert (
        "Target: 3 classes: land, sea, road; IoU and Dice are means" in text and "| truth | land | sea | road |" in text
    )
    for picture in (model / "predictions.png", run / "comparison.png", run / "curves.png"):
        assert picture.stat().st_size > 1000

    photo = folder / "images/0.png"
    options = [photo, "--weights", model / "model.keras", "--out", tmp_path / "masks"]
    code, out, err = run_here(monkeypatch, capfd, segment, *options)
    assert (code, err) == (0, "") and "Model: classes 0 land, 1 sea, 2 road" in out
    mask, overlay = (Image.open(tmp_path / "masks" / f"0-{kind}.png") for kind in ("mask", "overlay"))
    assert mask.mode == "P" and mask.size == (32, 24) and set(np.unique(np.asarray(mask))) <= {0, 1, 2}
    assert overlay.width == 32 and overlay.height > 24  # its legend
    code, _, err = run_here(monkeypatch, capfd, segment, *options[:3], "--threshold", "0.3", "--out", tmp_path / "more")
    assert code == 2 and "--threshold is of weights of two classes" in err and err.count("\n") == 1
    code, _, err = run_here(monkeypatch, capfd, run_unet_matrix, "--data", folder, "--target", "pet")
    assert code == 2 and err.startswith("error: --target chooses among the trimaps of oxford_iiit_pet; of own-streets")


def test_a_photo_that_vanishes_is_named(folder):
    pairs = read_pairs(folder)
    gone = [(photo.with_name("gone.png"), mask) for photo, mask in pairs.splits["test"]]
    pairs.splits["test"] = gone
    choice = datasets.Choice("own-streets", "folder", str(folder), "")
    with pytest.raises(UserError, match=r"gone\.png can't be read"), datasets.naming_damage(choice):
        list(from_pairs("own-streets", pairs).test.as_numpy_iterator())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A TFDS `data_dir` with a dataset of greyscale photos and masks of 0 and 255."""
    import tensorflow_datasets as tfds

    features = dict.fromkeys(("image", "segmentation_mask"), tfds.features.Image(shape=(None, None, 1)))
    masks = [np.full((4, 5, 1), 255 * (n % 2), np.uint8) for n in range(12)]
    examples = [{"image": 3 * (mask // 5), "segmentation_mask": mask} for mask in masks]
    root = tmp_path_factory.mktemp("tfds")
    store(root, "blobs", features, {"train": examples, "validation": examples[:3]})
    return root


def test_a_tfds_dataset_by_name(prepared):
    choice = datasets.choose("blobs", "oxford_iiit_pet", "shapes", str(prepared))
    data = from_tfds(choice)
    assert data.classes.names == ("background", "object")
    assert data.sizes == {"train": 11, "validation": 1, "test": 3}  # its split `validation` is what is scored
    for example in data.test.as_numpy_iterator():
        assert example["segmentation_mask"].shape == (4, 5, 1)
        assert (example["segmentation_mask"] == (example["image"] > 0)).all()
    assert from_tfds(choice).record() == data.record()


LABELS = "wider_face has faces, image, image/filename; a conditional VAE needs image and label"


@pytest.mark.parametrize(
    "read, name, line",
    [
        (from_tfds, "mnist", "mnist has image, label; a U-Net needs image and segmentation_mask"),
        (tfds_images, "wider_face", LABELS),
    ],
)
def test_a_tfds_dataset_without_what_is_needed_is_not_downloaded(tmp_path, monkeypatch, read, name, line):
    monkeypatch.setattr("tensorflow_datasets.core.DatasetBuilder.download_and_prepare", pytest.fail)
    with pytest.raises(UserError, match=f"^{line}$"):
        read(datasets.Choice(name, "download", str(tmp_path), ""))
