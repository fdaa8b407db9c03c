import hashlib
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from experiments.harness.data import datasets
from experiments.harness.data.datasets import Choice, choose, fingerprint, load_splits, only
from experiments.harness.data.splits import split_validation, take
from experiments.harness.running.errors import UserError
from tests.experiments.sessions import store

TRAIN_FILE = "tiny-train.tfrecord-00000-of-00001"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A TFDS `data_dir` with the dataset `tiny`: 6 train and 2 test examples."""
    import tensorflow_datasets as tfds

    features = {"label": tfds.features.ClassLabel(num_classes=3), "file_name": tfds.features.Text()}
    features["image"] = tfds.features.Image(shape=(None, None, 3))
    examples = [{"image": np.full((8, 9, 3), i, np.uint8), "label": i % 3, "file_name": f"{i}.png"} for i in range(6)]
    folder = tmp_path_factory.mktemp("data")
    store(folder, "tiny", features, {"train": examples, "test": examples[:2]})
    return folder


@pytest.fixture
def copy(prepared, tmp_path):
    """A copy of the prepared data to change, and the folder of the dataset in it."""
    shutil.copytree(prepared, tmp_path / "copy")
    return tmp_path / "copy", tmp_path / "copy" / "tiny" / "1.0.0"


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """No network, no data but a test's own."""
    monkeypatch.setattr(datasets, "probe", lambda url: "unplugged")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def file_names(dataset):
    return [example["file_name"].decode() for example in dataset.as_numpy_iterator()]


def touch_version(folder, complete=True):
    folder.mkdir(parents=True)
    for name in ("dataset_info.json", "features.json") if complete else ("features.json",):
        (folder / name).write_text("{}")
    return folder


# Choosing


def test_prepared_data_is_found_in_data_dir_then_environment_then_home(monkeypatch, tmp_path):
    for place in ("option", "environment", "home/tensorflow_datasets"):
        touch_version(tmp_path / place / "mnist" / "3.0.1")

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "environment"))
    first = choose("auto", "mnist", "glyphs", tmp_path / "option")
    assert (first.name, first.source, first.data_dir) == ("mnist", "prepared", str(tmp_path / "option"))
    assert choose("mnist", "cifar10", "glyphs").data_dir == str(tmp_path / "environment")
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert choose("auto", "mnist", "glyphs").data_dir == str(tmp_path / "home/tensorflow_datasets")


def test_highest_version_counts_with_or_without_a_config_folder(tmp_path):
    touch_version(tmp_path / "letters" / "balanced" / "9.0.0")
    newest = touch_version(tmp_path / "letters" / "balanced" / "10.0.0")
    touch_version(tmp_path / "letters" / "1.0.0.incompleteXYZ")
    assert datasets.prepared_folder(tmp_path, "letters") == newest
    assert datasets.prepared_folder(tmp_path, "letters/balanced") == newest
    assert datasets.prepared_folder(tmp_path, "letters/byclass") is None
    assert datasets.prepared_folder(tmp_path, "") is None


def test_of_several_configs_one_has_to_be_named(tmp_path):
    for config in ("letters", "digits"):
        touch_version(tmp_path / "emnist" / config / "3.1.0")
    with pytest.raises(UserError, match="emnist is prepared as digits, letters; say which, as in --data emnist/digits"):
        choose("emnist", "mnist", "glyphs", tmp_path)
    own = touch_version(tmp_path / "emnist" / "3.0.0")
    assert datasets.prepared_folder(tmp_path, "emnist") == own


def test_auto_falls_back_to_builtin_and_says_why_and_what_to_do(tmp_path):
    choice = choose("auto", "oxford_iiit_pet", "shapes", tmp_path)
    assert (choice.name, choice.source, choice.data_dir) == ("shapes", "builtin", None)
    for part in (str(tmp_path), "thor.robots.ox.ac.uk: unplugged", "tfds.load('oxford_iiit_pet')", "--data-dir"):
        assert part in choice.notice
    assert "\n" not in choice.notice


def test_download_is_chosen_where_the_server_answers(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(datasets, "probe", lambda url: asked.append(url) or "")
    choice = choose("auto", "mnist", "glyphs", tmp_path)
    assert (choice.name, choice.source, choice.data_dir) == ("mnist", "download", str(tmp_path))
    assert "12 MB from storage.googleapis.com" in choice.notice
    assert len(asked) == 1 and asked[0].startswith("https://storage.googleapis.com/")


@pytest.mark.parametrize(
    "requested, data_dir, parts",
    [
        ("oxford_iiit_pet", ".", ["not prepared in", "thor.robots.ox.ac.uk: unplugged", "--data-dir", "--data shapes"]),
        ("oxford_pets", ".", ["unknown dataset 'oxford_pets'", "auto, oxford_iiit_pet or shapes"]),
        ("", ".", ["unknown dataset ''"]),
        ("../mnist", ".", ["unknown dataset '../mnist'"]),
        ("auto", "absent", ["--data-dir", "absent is not a folder"]),
    ],
)
def test_what_cannot_be_had_is_one_clear_line(tmp_path, requested, data_dir, parts):
    with pytest.raises(UserError) as raised:
        choose(requested, "oxford_iiit_pet", "shapes", tmp_path / data_dir)
    assert all(part in str(raised.value) for part in parts) and "\n" not in str(raised.value)


def test_prepared_folder_without_its_description_is_damaged(tmp_path):
    folder = touch_version(tmp_path / "mnist" / "3.0.1", complete=False)
    with pytest.raises(UserError, match=f"{folder} .*dataset_info.json.*delete that folder and prepare it again"):
        choose("auto", "mnist", "glyphs", tmp_path)


# Loading


def test_splits_come_in_the_order_of_the_files_with_known_size(prepared, capfd):
    names, limits = {"train": "train", "test": "test"}, {"train": 5, "test": 50}  # more than there are
    splits = load_splits(choose("tiny", "tiny", "shapes", prepared), names, limits=limits)
    assert [int(dataset.cardinality()) for dataset in splits.values()] == [5, 2]
    whole = load_splits(choose("tiny", "tiny", "shapes", prepared), {"all": "train"})["all"]
    assert sorted(file_names(whole)) == [f"{i}.png" for i in range(6)]
    assert file_names(splits["train"]) == file_names(splits["train"]) == file_names(whole)[:5]
    example = next(whole.as_numpy_iterator())
    assert (example["image"] == int(example["file_name"][:1])).all() and example["image"].shape == (8, 9, 3)
    assert "absl" not in capfd.readouterr().err


def test_only_reads_the_features_named(prepared):
    dataset = load_splits(choose("tiny", "tiny", "shapes", prepared), {"test": "test"}, decoders=only("label"))["test"]
    assert list(dataset.element_spec) == ["label"]


def test_download_prepares_and_then_reads(prepared, tmp_path, monkeypatch):
    def download_and_prepare(name, data_dir, check):
        shutil.copytree(prepared / name, Path(data_dir) / name)

    monkeypatch.setattr(datasets, "download_and_prepare", download_and_prepare)
    splits = load_splits(Choice("tiny", "download", str(tmp_path), ""), {"test": "test"})
    assert sorted(file_names(splits["test"])) == ["0.png", "1.png"]


def cut_between_records(folder):
    data = (folder / TRAIN_FILE).read_bytes()
    (folder / TRAIN_FILE).write_bytes(data[: struct.unpack("<Q", data[:8])[0] + 16])


def flip_a_bit(folder):
    data = bytearray((folder / TRAIN_FILE).read_bytes())
    data[60] ^= 1
    (folder / TRAIN_FILE).write_bytes(data)


def cut_text(folder):
    path = folder / "dataset_info.json"
    path.write_text(path.read_text()[:100])


@pytest.mark.parametrize("damage", [cut_between_records, flip_a_bit, cut_text])
def test_damaged_data_is_an_error_that_names_the_folder(copy, damage):
    data_dir, folder = copy
    damage(folder)
    choice = choose("tiny", "tiny", "shapes", data_dir)
    with pytest.raises(UserError, match=f"damaged data in {folder} .*delete that folder and prepare it again"):
        fingerprint(load_splits(choice, {"train": "train"}, decoders=only("file_name")), "file_name", choice)


# Selecting and identifying


def test_fingerprint_is_size_and_hash_of_the_ids_in_order(prepared):
    choice = choose("tiny", "tiny", "shapes", prepared)
    splits = load_splits(choice, {"train": "train", "test": "test"})
    prints = fingerprint(splits, "file_name", choice)
    lines = "".join(f"{name}\n" for name in file_names(splits["train"]))
    assert prints["train"] == {"size": 6, "sha256": hashlib.sha256(lines.encode()).hexdigest()}
    assert prints["test"]["size"] == 2 and prints["test"]["sha256"] != prints["train"]["sha256"]
    labels = "".join(f"{example['label']}\n" for example in splits["test"].as_numpy_iterator())
    by_label = fingerprint({"test": splits["test"]}, "label", choice)
    assert by_label["test"]["sha256"] == hashlib.sha256(labels.encode()).hexdigest()


@pytest.mark.parametrize("validation, size", [(0.2, 10), (7, 7), (0.001, 1), (0.99, 50)])
def test_validation_split_is_a_seeded_partition(validation, size):
    train, held_out = split_validation(51, validation, seed=1)
    assert len(held_out) == size and train.dtype == held_out.dtype == np.int64
    assert sorted([*train, *held_out]) == list(range(51))
    assert (np.diff(train) > 0).all() and (np.diff(held_out) > 0).all()
    assert np.array_equal(held_out, split_validation(51, validation, seed=1)[1])
    if 1 < size < 50:
        assert not np.array_equal(held_out, split_validation(51, validation, seed=2)[1])


@pytest.mark.parametrize("validation", [0, 10, -1])
def test_validation_that_leaves_nothing_is_an_error(validation):
    with pytest.raises(UserError, match=f"Received: {validation}"):
        split_validation(10, validation, seed=0)


def test_take_keeps_the_datasets_order_and_knows_its_size():
    import tensorflow as tf

    squares = tf.data.Dataset.range(10).map(lambda i: {"square": i * i})
    taken = take(squares, [7, 0, 3])
    assert int(taken.cardinality()) == 3
    for _ in range(2):
        assert [int(example["square"]) for example in taken.as_numpy_iterator()] == [0, 9, 49]
    nothing = take(squares, [])
    assert int(nothing.cardinality()) == 0 and list(nothing) == []
