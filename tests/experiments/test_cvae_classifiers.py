"""The judges and the feature network of a dataset: trained once, recorded, loaded again, or taken where included."""

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from experiments.cvaes import classifiers
from experiments.cvaes.classifiers import FEATURES, JUDGES, FeatureNetworks, Judges
from experiments.cvaes.recipes import MODELS
from experiments.cvaes.training import LabelledImages
from experiments.harness.data.datasets import Choice
from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from experiments.harness.running.hardware import Hardware
from tests.experiments.sessions import files
from tfcvae import pretrained
from tfcvae.features import FEATURE_NETWORKS
from tfcvae.judge import predict_labels

GLYPHS = Choice("glyphs", "builtin", None, "")
MACHINE = Hardware("CPU", "some CPU", 2, 0, "float32", False, "as asked")
NAMES = ("accuracy", "validation_accuracy", "test_accuracy")


@pytest.fixture(scope="module")
def data():
    return LabelledImages(GLYPHS, "smoke")


@pytest.fixture(scope="module")
def trained(data, smoke_classifiers):
    """A results folder with trained judges; what `trained` returns for them."""
    return smoke_classifiers, Judges(GLYPHS, "smoke", data, MACHINE, smoke_classifiers).trained()


@pytest.mark.parametrize("network, seed", [("tiny", 0), ("plain-tiny", 1)])
def test_each_judge_leaves_a_record(data, trained, network, seed):
    results, found = trained
    place = f"judge/glyphs/smoke/{network}/seed-{seed}"
    record, (judge, facts) = json.loads((results / place / "record.json").read_text()), found[network]
    assert (record["experiment"], record["dataset"], record["variant"], record["seed"]) == (
        *("judge", "glyphs"),
        *(network, seed),
    )
    right = {}
    for split, count in (("validation", 50), ("test", 100)):
        images, labels = data.arrays(split)
        right[split] = predict_labels(judge, images) == labels
        assert record["data"][split] == len(labels) == count
        assert record[f"{split}_accuracy"] == right[split].mean()
    assert record["accuracy"] == (right["validation"].sum() + right["test"].sum()) / 150
    assert facts == {name: record[name] for name in NAMES} | {"network": network, "seed": seed, "folder": place}
    assert record["validation"]["accuracy"] == pytest.approx(record["validation_accuracy"])  # of the best epoch
    assert record["images_seen"] == 3 * 14 * 32 and record["config"]["epochs"] == 3
    assert record["data"]["fingerprint"] == data.fingerprint


def test_trained_judges_are_loaded_not_trained_again(data, trained, capsys):
    results, found = trained
    before = files(results)
    again = Judges(GLYPHS, "smoke", data, MACHINE, results).ready()
    assert files(results) == before and " | loss " not in capsys.readouterr().out
    images, _ = data.arrays("test")
    for network, (judge, facts) in again.items():
        assert facts == found[network][1]
        np.testing.assert_array_equal(judge.predict_on_batch(images), found[network][0].predict_on_batch(images))


def test_judges_of_another_precision_are_others(data, trained):
    results, _ = trained
    other = Judges(GLYPHS, "smoke", data, replace(MACHINE, precision="mixed_bfloat16"), results)
    assert other.left() == [("tiny", 0), ("plain-tiny", 1)] and other.folder.name.startswith("smoke-")
    folder = runs.seed_folder(other.folder, "tiny", 0)
    with pytest.raises(UserError, match=f"{folder} holds no trained judge network. Train a model first."):
        other.trained()


def test_a_classifier_that_diverges_is_one_line(data, tmp_path, monkeypatch, capsys):
    wild = [(replace(JUDGES["glyphs"][0][0], learning_rate=1e30), 0)]
    monkeypatch.setitem(classifiers.JUDGES, "glyphs", wild)
    with pytest.raises(UserError, match="A classifier of glyphs could not be trained."):
        Judges(GLYPHS, "smoke", data, MACHINE, tmp_path / "results").ready()
    assert capsys.readouterr().err.startswith("error: tiny seed 0 stopped: the loss became ")
    assert not list(tmp_path.rglob("record.json"))


def test_the_feature_network_puts_out_scaled_features_and_what_it_reads(data, smoke_classifiers):
    network, facts = FeatureNetworks(GLYPHS, "smoke", data, MACHINE, smoke_classifiers).frozen()
    images, labels = data.arrays("validation")
    *features, logits = network(images)
    assert [tuple(scale.shape) for scale in features] == [(50, 28, 28, 8), (50, 14, 14, 16)]
    for scale in features:  # over the images that they were scaled with
        np.testing.assert_allclose(np.std(scale, axis=(0, 1, 2)), 1, rtol=1e-3)
    assert np.mean(np.argmax(logits, axis=1) == labels) == facts["validation_accuracy"]
    assert not network.trainable_variables and facts["folder"] == "features/glyphs/smoke/tiny/seed-2"


def enough(images=18_000, flip=None, family="glyphs"):
    """Stands in for data, of which a classifier's recipe asks no more."""
    return SimpleNamespace(family=family, flip=flip, sizes={"train": images}, fingerprint={}, record=dict)


def test_few_images_make_small_batches_and_many_epochs(tmp_path):
    """Or a loss and scores would hang on classifiers of a dozen steps."""
    few = Judges(GLYPHS, "cpu", enough(216), MACHINE, tmp_path).chosen["small"]
    assert (few.batch_size, few.epochs) == (16, 77)  # 13 steps an epoch, 1001 in all
    alone = Judges(GLYPHS, "cpu", enough(5), MACHINE, tmp_path).chosen["small"]
    assert alone.epochs == 1000  # whose batches are all five images


@pytest.mark.parametrize("flip, expected", [(None, True), (False, False), (True, True)])
def test_data_say_whether_images_may_be_mirrored(tmp_path, flip, expected):
    judges = Judges(GLYPHS, "cpu", enough(flip=flip, family="cifar10"), MACHINE, tmp_path)
    assert {recipe.flip for recipe in judges.chosen.values()} == {expected}


@pytest.mark.parametrize("dataset", MODELS)
def test_two_judges_of_two_kinds_and_a_feature_network_are_trained_apart(dataset):
    (one, seed), (other, another) = JUDGES[dataset]
    ((features, third),) = FEATURES[dataset]
    assert not one.network.startswith("plain") and other.network.startswith("plain")
    assert len({seed, another, third}) == 3 and features.network in FEATURE_NETWORKS
    assert {recipe.flip for recipe in (one, other, features)} == {dataset == "cifar10"}  # a mirrored digit is none


def test_any_number_of_devices_can_share_a_classifier_s_batches(tmp_path):
    machine = Hardware("CPU", "", 2, 0, "float32", False, "", "mirrored", 3)
    data = enough(450)
    judges = Judges(GLYPHS, "smoke", data, machine, tmp_path)
    assert {configuration["batch_size"] for configuration in judges.configurations.values()} == {30}


# Included weights


@pytest.fixture
def included(data, trained, tmp_path, monkeypatch):
    """Judges as if they came along: of the recipe of the `cpu` preset, and their records."""
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path / "weights")
    (tmp_path / "weights").mkdir()
    fitted = Judges(GLYPHS, "cpu", data, MACHINE, tmp_path / "none").chosen.values()
    for recipe, seed, role in zip(fitted, (0, 1), ("judge", "judge-plain"), strict=True):
        small = "plain-tiny" if recipe.network.startswith("plain") else "tiny"
        weights = (trained[0] / trained[1][small][1]["folder"] / "model.keras").read_bytes()
        (tmp_path / "weights" / f"glyphs-{role}.keras").write_bytes(weights)
        record = {"config": recipe.record(), "seed": seed, "variant": recipe.network, "data": data.record()}
        record |= {"weights_sha256": hashlib.sha256(weights).hexdigest(), **dict.fromkeys(NAMES, 0.9)}
        runs.write_json(tmp_path / "weights" / f"glyphs-{role}.json", record)
    return tmp_path / "weights"


def test_included_weights_of_these_images_and_this_recipe_are_taken(data, included, tmp_path, capsys):
    judges = Judges(GLYPHS, "cpu", data, MACHINE, tmp_path / "results")
    assert judges.left() == [] and list(judges.ready()) == ["small", "plain-small"]
    out = capsys.readouterr().out
    assert str(included / "glyphs-judge-plain.keras") in out and str(judges.folder) not in out
    network, facts = judges.trained()["plain-small"]
    assert facts["folder"] == "included: glyphs-judge-plain" and facts["accuracy"] == 0.9
    assert isinstance(network, keras.Model) and not list((tmp_path / "results").rglob("record.json"))


@pytest.mark.parametrize("change", ["images", "recipe", "seed"])
def test_included_weights_of_others_are_not(data, included, tmp_path, change):
    path = included / "glyphs-judge.json"
    record = json.loads(path.read_text())
    if change == "images":
        record["data"]["fingerprint"]["train"]["sha256"] = "of others"
    elif change == "recipe":
        record["config"]["epochs"] += 1
    else:
        record["seed"] += 5
    runs.write_json(path, record)
    assert Judges(GLYPHS, "cpu", data, MACHINE, tmp_path / "results").left() == [("small", 0)]
    assert Judges(GLYPHS, "smoke", data, MACHINE, tmp_path / "results").left() == [("tiny", 0), ("plain-tiny", 1)]


def test_own_weights_come_before_included_ones(data, included, trained, tmp_path):
    results, _ = trained
    judges = Judges(GLYPHS, "smoke", data, MACHINE, results)
    assert not judges.included and judges.trained()["tiny"][1]["folder"] == "judge/glyphs/smoke/tiny/seed-0"
