"""Folders of a person's own labelled images. No TensorFlow."""

import numpy as np
import pytest
from PIL import Image

from experiments.cvaes.class_folders import read_class_folder
from experiments.cvaes.sources import family_of
from experiments.harness.running.errors import UserError

GREYS = {"cat": 10, "dog": 100, "owl": 200}


def write(folder, count=10, colour=False, names=tuple(GREYS)):
    """A folder a class; the brightness says the class, and above that which image it is."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for n in range(count):
            pixels = np.full((6 + n, 9), GREYS[name] + n, np.uint8)
            image = Image.fromarray(pixels)
            if n % 2:
                image = Image.fromarray(pixels.astype(np.uint16) * 257)
            if colour:
                image = Image.fromarray(np.dstack([pixels, pixels // 2, pixels]))
            image.save(folder / name / f"{n}.png")
    return folder


def test_a_folder_a_class_is_split_by_class_and_always_the_same(tmp_path):
    found = read_class_folder(write(tmp_path), 28)
    assert found.class_names == ("cat", "dog", "owl") and found.image_shape == (28, 28, 1)
    sizes = {split: np.bincount(labels).tolist() for split, labels in found.labels.items()}
    assert sizes == {"train": [7] * 3, "validation": [1] * 3, "test": [2] * 3}
    seen = []
    for split, images in found.images.items():
        brightness = images[:, 0, 0, 0]
        assert images.dtype == np.uint8 and (images == brightness[:, None, None, None]).all()
        assert np.array_equal(np.digitize(brightness, list(GREYS.values())) - 1, found.labels[split])
        assert found.fingerprint[split]["size"] == len(images)
        seen += brightness.tolist()
    assert sorted(seen) == sorted(grey + n for grey in GREYS.values() for n in range(10))  # each in one split
    assert (np.diff(found.labels["train"]) < 0).any()  # classes are mixed
    again = read_class_folder(tmp_path, 28)
    assert again.fingerprint == found.fingerprint


def test_the_fingerprint_knows_the_classes(tmp_path):
    write(tmp_path / "train", 4, names=("cat", "dog"))
    write(tmp_path / "test", 1, names=("cat", "dog"))
    found = read_class_folder(tmp_path, 28)
    for name, other in (("cat", "other"), ("dog", "cat"), ("other", "dog")):  # what was a cat is a dog
        (tmp_path / "test" / name).rename(tmp_path / "test" / other)
    changed = read_class_folder(tmp_path, 28)
    assert changed.fingerprint["test"] != found.fingerprint["test"]
    assert changed.fingerprint["train"] == found.fingerprint["train"]


def test_colour_anywhere_makes_colour_everywhere(tmp_path):
    write(tmp_path, 5, names=("cat", "dog"))
    write(tmp_path, 5, colour=True, names=("owl",))
    found = read_class_folder(tmp_path, 32)
    assert found.image_shape == (32, 32, 3)
    owls = found.images["train"][found.labels["train"] == 2]
    red, green, blue = np.moveaxis(owls, -1, 0)
    assert red.min() >= 200 and np.array_equal(green, red // 2) and np.array_equal(blue, red)


@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_above_the_classes_are_the_splits(tmp_path, test):
    write(tmp_path / "train", 10)
    write(tmp_path / test, 4)
    found = read_class_folder(tmp_path, 28)
    assert {split: len(labels) for split, labels in found.labels.items()} == {"train": 27, "validation": 3, "test": 12}


def test_of_three_folders_the_third_chooses_the_epoch(tmp_path):
    for split, count in (("train", 10), ("val", 3), ("test", 4)):
        write(tmp_path / split, count)
    found = read_class_folder(tmp_path, 28)
    assert {split: len(labels) for split, labels in found.labels.items()} == {"train": 30, "validation": 9, "test": 12}


def line(folder):
    with pytest.raises(UserError) as error:
        read_class_folder(folder, 28)
    assert "\n" not in str(error.value)
    return str(error.value).replace(f"{folder}/", "")


def test_what_is_wrong_is_told_in_one_line(tmp_path):
    assert "has 0 folders; it needs two classes at least: own data are a folder a class" in line(tmp_path)
    write(tmp_path, 1)
    assert line(tmp_path) == "cat has too few images: training, validation and test need one each"
    (tmp_path / "ant").mkdir()
    assert line(tmp_path).startswith("no image in ant: ")


def test_splits_of_different_classes_and_damaged_files_are_named(tmp_path):
    write(tmp_path / "train", 4)
    write(tmp_path / "test", 4, names=("cat", "dog"))
    assert line(tmp_path).endswith("have different classes: owl is in one of them only")
    write(tmp_path / "test", 4, names=("owl",))
    (tmp_path / "train/dog/2.png").write_bytes(b"words")
    assert line(tmp_path) == "train/dog/2.png can't be read (not an image that Pillow knows)"


def test_models_by_the_kind_of_image():
    kinds = [(28, 28, 1), (32, 32, 1), (32, 32, 3), (28, 28, 3)]
    assert list(map(family_of, kinds)) == ["mnist", "mnist", "cifar10", "glyphs-colour"]
