"""The models that come with the package: what is loaded predicts as what was saved, and as its record says."""

import hashlib
import json
from functools import partial

import keras
import numpy as np
import pytest

import tfcvae
from tfcvae import pretrained
from tfcvae.evaluate import sample_accuracy
from tfcvae.judge import build_judge, predict_labels
from tfcvae.model import CVAE

SHAPE, CLASSES = (8, 8, 1), 3
LABELS = np.array([2, 0, 1, 1])
IMAGES = np.random.default_rng(0).integers(0, 2, (4, *SHAPE)).astype("float32")


def build(kind, policy):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    model = build_judge(SHAPE, CLASSES, "tiny") if kind == "judge" else CVAE(SHAPE, CLASSES, 4, "tiny", prior="class")
    keras.config.set_dtype_policy("float32")
    return model


def predict(model):
    return model.relabel(IMAGES, LABELS) if isinstance(model, CVAE) else model.predict_on_batch(IMAGES)


def precisions(model):
    return {layer.compute_dtype for layer in model._flatten_layers(include_self=False) if layer.weights}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind, policy", [("cvae", "float32"), ("cvae", "mixed_bfloat16"), ("judge", "mixed_bfloat16")])
def test_a_loaded_model_predicts_in_float32_or_as_it_was_trained(folder, disturb, kind, policy):
    name, load = ("glyphs-judge", pretrained.load_network) if kind == "judge" else ("glyphs", pretrained.load_model)
    trained, exact = build(kind, policy), build(kind, "float32")
    disturb(trained)
    exact.set_weights(trained.get_weights())
    path = folder / f"{name}.keras"
    trained.save(path)
    record = {"weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(record))

    model = load(name)
    assert precisions(model) == {"float32"}
    np.testing.assert_allclose(predict(model), predict(exact), atol=1e-5)
    as_trained = load(name, dtype="mixed_bfloat16")
    assert precisions(as_trained) == precisions(trained)  # what was trained in float32 stays so
    rounding = 1e-5 if policy == "float32" else 2e-2
    np.testing.assert_allclose(predict(as_trained), predict(trained), atol=rounding)
    assert (np.abs(predict(trained) - predict(exact)).max() > 1e-4) == (policy == "mixed_bfloat16")  # it would tell
    if kind == "cvae":
        np.testing.assert_array_equal(model.sample(LABELS, seed=1), exact.sample(LABELS, seed=1))


def test_names(folder):
    judges = ("mnist-judge", "mnist-judge-plain", "glyphs-colour-judge")
    for name in (*judges, "mnist", "mnist-features", "glyphs-colour"):
        (folder / f"{name}.keras").write_bytes(b"")
        (folder / f"{name}.json").write_text(json.dumps({"variant": name}))
    assert pretrained.included() == ["glyphs-colour", "mnist"]
    assert pretrained.read_record("mnist-judge") == {"variant": "mnist-judge"}
    assert pretrained.classifier_name("mnist", "judge", "small") == "mnist-judge"
    assert pretrained.classifier_name("mnist", "judge", "plain-small") == "mnist-judge-plain"
    assert pretrained.classifier_name("mnist", "features", "small") == "mnist-features"
    assert pretrained.classifier_name("glyphs-colour", "judge", "plain-small") is None
    assert pretrained.classifier_name("cifar10", "features", "base") is None
    for ask in (pretrained.load_model, pretrained.read_record):
        with pytest.raises(ValueError, match=r"Weights are included of glyphs-colour, mnist\. Received: 'cifar'"):
            ask("cifar")


def test_all_judges_of_a_dataset_load_by_their_networks(folder):
    built = {"tiny": "glyphs-judge", "plain-tiny": "glyphs-judge-plain"}
    for network, name in built.items():
        path = folder / f"{name}.keras"
        build_judge(SHAPE, CLASSES, network).save(path)
        record = {"variant": network, "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        path.with_suffix(".json").write_text(json.dumps(record))
    judges = pretrained.load_judges("glyphs")
    assert list(judges) == ["tiny", "plain-tiny"]
    counts = [build_judge(SHAPE, CLASSES, network).count_params() for network in judges]
    assert [judge.count_params() for judge in judges.values()] == counts
    (folder / "glyphs-judge-plain.keras").unlink()
    assert list(pretrained.load_judges("glyphs")) == ["tiny"]
    with pytest.raises(ValueError, match="cifar100-judge"):
        pretrained.load_judges("cifar100")


@pytest.mark.parametrize("name", pretrained.included())
def test_the_included_weights_are_those_of_their_record(name):
    record, model = pretrained.read_record(name), pretrained.load_model(name)
    judge = pretrained.load_network(f"{name}-judge")
    judges = {network: partial(predict_labels, each) for network, each in pretrained.load_judges(name).items()}
    judged = pretrained.read_record(f"{name}-judge")
    for path in pretrained.WEIGHTS.glob(f"{name}*.keras"):
        of_record = pretrained.read_record(path.stem)["weights_sha256"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == of_record
    assert record["dataset"] == record["data"]["name"] == judged["dataset"] == name
    assert (model.count_params(), judge.count_params()) == (record["parameters"], judged["parameters"])
    assert list(model.latent_shape) == record["config"]["latent_shape"]
    included = [pretrained.read_record(path.stem) for path in pretrained.WEIGHTS.glob(f"{name}-judge*.json")]
    accuracies = {judge["variant"]: judge["accuracy"] for judge in included}
    assert {network: facts["accuracy"] for network, facts in record["judge"]["judges"].items()} == accuracies
    assert all(path.stat().st_size < 12 * 2**20 for path in pretrained.WEIGHTS.glob(f"{name}*"))
    read = sample_accuracy(model, judges, per_class=30)["accuracy"]
    assert read == pytest.approx(record["test"]["sample_accuracy"]["accuracy"], abs=0.05)


def test_a_file_of_one_s_own_loads_for_prediction(tmp_path, disturb):
    trained = build("cvae", "float32")
    disturb(trained)
    trained.compile("adam")
    trained.save(tmp_path / "own.keras")
    model = tfcvae.load_model(tmp_path / "own.keras")
    np.testing.assert_array_equal(predict(model), predict(trained))
    build("judge", "float32").save(tmp_path / "judge.keras")
    with pytest.raises(ValueError, match="judge.keras is no conditional VAE. Received: a Functional named"):
        tfcvae.load_model(tmp_path / "judge.keras")


@pytest.mark.parametrize(
    "content, problem", [(None, "No such file or directory"), (b"words", "cut short, or not written by Keras")]
)
def test_a_file_that_is_no_model_is_named(tmp_path, content, problem):
    path = tmp_path / "own.keras"
    if content:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"own\.keras is no model that Keras can load \({problem}"):
        tfcvae.load_model(path)
