"""What the scripts do with the library: which model a recipe becomes, which split is scored, what the 25 tiles show."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.cvaes import pictures
from experiments.cvaes.classifiers import Panel
from experiments.cvaes.recipes import COLOUR, DIGITS, FEATURES
from experiments.cvaes.scores import one_line, score
from experiments.cvaes.training import build_model
from tfcvae import evaluate, style
from tfcvae.features import build_feature_classifier, feature_network
from tfcvae.judge import build_judge
from tfcvae.layers import check_labels

SIZES = {"network": "tiny", "latent_shape": (3,), "wrong_labels": 2, "samples_per_class": 4, "importance_samples": 2}
RECIPE = replace(DIGITS, classifier_weight=0.0, **SIZES)


class Images:
    """Two splits of noise that differ in size and brightness."""

    class_names = tuple("0123456789")

    def __init__(self, channels=1):
        self.image_shape, self.name = (8, 8, channels), "glyphs" if channels == 1 else "cifar10"

    def arrays(self, split, binarises=False):
        count, brightness = {"validation": (40, 0.2), "test": (60, 0.7)}[split]
        rng = np.random.default_rng(count)
        images = rng.random((count, *self.image_shape)).astype("float32")
        return (images < brightness).astype("float32") if binarises else images, rng.integers(0, 10, count)


def bright(images):
    """A judge that sees classes in the brightness of the first pixels."""
    return (100 * images[:, 0, :3, 0].mean(axis=1)).astype(int) % 10


def dark(images):
    """Another, which looks at the last pixels."""
    return (100 * images[:, -1, -3:, 0].mean(axis=1)).astype(int) % 10


class Judges(Panel):
    """Two judges of which one embeds images, as their mean rows."""

    def __init__(self):
        self.readers, self.facts = {"bright": bright, "dark": dark}, {}

    def embed(self, images):
        return images[..., 0].mean(axis=2)


def change(model):
    """Makes labels and images matter to a model that has not been trained."""
    rng = np.random.default_rng(0)
    model.set_weights([0.3 * rng.standard_normal(weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    return change(build_model(RECIPE, (8, 8, 1), seed=0, steps=10))


@pytest.fixture(scope="module")
def scores(model):
    return score(model, Images(), RECIPE, Judges())


@pytest.fixture(scope="module")
def frozen():
    """A feature network, untrained."""
    return feature_network(build_feature_classifier((8, 8, 3), 10, "tiny"), Images(3).arrays("validation")[0])


def test_a_recipe_becomes_the_model_that_it_describes():
    recipe = replace(COLOUR, network="tiny", latent_shape=(2, 2, 3), prior="class", kl_weight=0.5, kl_warmup=0.3)
    recipe = replace(recipe, free_bits=0.2, conditioning="input", label_dim=7, learning_rate=0.01, average=0.9)
    model = build_model(recipe, (8, 8, 3), seed=5, steps=200)
    config = model.get_config()
    names = ("network", "label_dim", "likelihood", "prior", "kl_weight", "free_bits", "conditioning")
    assert {name: config[name] for name in names} == {name: getattr(recipe, name) for name in names}
    assert (config["latent_shape"], config["kl_warmup_steps"], config["seed"]) == ((2, 2, 3), 60, 5)
    assert config["num_classes"] == 10 and config["image_shape"] == (8, 8, 3)
    schedule = model.optimizer._learning_rate
    assert max(float(schedule(step)) for step in range(200)) == pytest.approx(0.01, rel=0.01)
    assert model.optimizer.use_ema and model.optimizer.ema_momentum == 0.9
    assert model.helpers.adversary is None and not model.training_variables


def test_label_control_of_a_recipe_becomes_that_of_the_training(frozen):
    recipe = replace(FEATURES, adversary_weight=0.7, adversary="tiny", beta_1=0.5, wrong_label_share=0.4, **SIZES)
    model = build_model(recipe, (8, 8, 3), seed=0, steps=10, feature_network=frozen)
    control = model.control
    assert (control.wrong_labels, control.classifier_weight, control.layout_weight) == (0.4, 5.0, 2500.0)
    assert control.adversary_weight == 0.7 and model.helpers.feature_network is frozen
    own = model.helpers.optimizer
    assert own is not model.optimizer and (own.beta_1, model.optimizer.beta_1) == (0.5, 0.5)
    assert model.optimizer.use_ema and not own.use_ema
    assert {variable.path.split("/")[-1] for variable in model.helpers.adversary.non_trainable_variables} == {"u"}


def test_the_test_split_is_scored_and_the_validation_split_relabelled(model, scores):
    images, labels = Images().arrays("test", True)
    test, relabel, readers = scores["test"], scores["validation"]["relabel"], Judges().readers
    assert test["reconstruction_error"] == evaluate.reconstruction_error(model, images, labels)
    assert test["kl"] == evaluate.kl_divergence_of(model, images, labels)
    expected = evaluate.relabel_scores(model, images, labels, readers, 2)
    assert {name: test["relabel"][name] for name in expected} == expected
    assert relabel == evaluate.relabel_scores(model, *Images().arrays("validation", True), readers, 2)
    assert (test["relabel"]["images"], relabel["images"]) == (60, 40)
    assert test["importance_weighted_nll"]["samples"] == 2 and test["bits_per_dim"] is None
    assert test["latent_units"] == 3 and len(test["sample_accuracy"]["per_class"]) == 10
    assert set(test["sample_accuracy"]["judges"]) == {"bright", "dark"}


def test_style_is_compared_over_the_very_labels_that_are_judged(model, scores):
    images, labels = Images().arrays("test", True)
    asked = evaluate.wrong_labels(labels, 10, 2)
    inputs, outputs = np.tile(images, (2, 1, 1, 1)), np.concatenate([model.relabel(images, a) for a in asked.T])
    expected = style.kept(style.slant(inputs), style.slant(outputs), np.tile(labels, 2), asked.T.ravel())
    kept = scores["test"]["relabel"]["style"]
    assert kept["slant"] == pytest.approx(expected, abs=1e-6) and 0.01 < abs(kept["slant"]) < 1
    assert set(kept) == {"slant", "stroke_thickness"}


def test_outputs_are_compared_with_test_images_and_validation_images_with_them(model, scores):
    (images, labels), others = Images().arrays("test", True), Images().arrays("validation", True)
    asked = evaluate.wrong_labels(labels, 10, 1)[:, 0]
    outputs = model.relabel(images, asked)
    expected = evaluate.realism(outputs, asked, images, labels, Judges().embed, *others)
    assert scores["test"]["relabel"]["realism"] == pytest.approx(expected, rel=1e-5)
    assert expected["frechet_distance"] > 0


def test_an_energy_has_no_elbo_and_colour_no_style(frozen):
    recipe = replace(FEATURES, **SIZES)
    model = change(build_model(recipe, (8, 8, 3), seed=0, steps=10, feature_network=frozen))
    test = score(model, Images(3), recipe, Judges())["test"]
    assert test["comparable"] is False and test["bits_per_dim"] is None
    assert not {"elbo", "negative_elbo", "unconditional_nll", "importance_weighted_nll"} & set(test)
    assert "style" not in test["relabel"] and test["relabel"]["realism"] is not None
    assert "ELBO" not in one_line(test, 0.9)


def test_the_panel_says_what_the_judge_that_reads_worst_says():
    facts = {"tiny": {"accuracy": 0.97, "folder": "a"}, "plain-tiny": {"accuracy": 0.95, "folder": "b"}}
    networks = {name: build_judge((8, 8, 1), 10, name) for name in facts}
    panel = Panel({name: (network, facts[name]) for name, network in networks.items()})
    assert panel.record() == {"accuracy": 0.95, "folder": "b", "judges": facts}
    images, _ = Images().arrays("test")
    logits = networks["plain-tiny"].predict_on_batch(images)
    np.testing.assert_array_equal(panel.readers["plain-tiny"](images), logits.argmax(axis=1))
    assert panel.embed(images).shape == (60, 16)  # the first judge's last channels


def test_the_tiles_show_random_test_images_sent_in_with_a_wrong_label(model, scores, tmp_path, monkeypatch):
    """As the dataset has them; the model is fed their black-and-white draw."""
    drawn = []
    monkeypatch.setattr(pictures.image_grids, "draw_wrong_labels", lambda *arguments: drawn.append(arguments))
    record = scores | {"judge": {"accuracy": 0.987, "judges": {"dark": {"accuracy": 0.987}}}}
    for _ in range(2):
        pictures.draw_wrong_labels(model, Images(), Judges().readers, record, tmp_path, "a model")
    inputs, outputs, true, asked, read_as, *_ = drawn[0]
    (images, labels), fed = Images().arrays("test"), Images().arrays("test", True)[0]
    chosen = [np.flatnonzero((images == tile).all(axis=(1, 2, 3)))[0] for tile in inputs]
    assert len(set(chosen)) == 25 and chosen != sorted(chosen)
    assert np.array_equal(true, labels[chosen]) and np.all(asked != true)
    check_labels(asked, 10)
    assert np.array_equal(outputs, model.relabel(fed[chosen], asked))
    encoded_as_it_is = model.decode(model.encode(fed[chosen], true)[0], asked)
    assert np.abs(outputs - encoded_as_it_is).max() > 1e-3  # which is the other reading
    assert np.array_equal(read_as["bright"], bright(outputs)) and np.array_equal(read_as["dark"], dark(outputs))
    assert all(np.array_equal(a, b) for a, b in zip(drawn[0][:4], drawn[1][:4], strict=True))


def test_captions_have_the_figures_of_both_judges(model, scores):
    record = scores | {
        "judge": {"accuracy": 0.95, "judges": {"bright": {"accuracy": 0.95}, "dark": {"accuracy": 0.987}}}
    }
    relabel = scores["test"]["relabel"]
    text = pictures.wrong_labels_caption(model, record)
    for name, share in relabel["readings"]["a"]["judges"].items():
        assert f"{name} {share:.1%}" in text
    figures = ("bright 95.0%", "dark 98.7%", f"{relabel['ignored_label_accuracy']:.1%}", "120 such outputs")
    assert all(figure in text for figure in figures) and "black-and-white" in text


def test_a_sweep_shows_one_latent_under_every_label(model):
    images, labels = (values[:3] for values in Images().arrays("test", True))
    outputs = pictures.sweep_labels(model, images, labels)
    latents, _ = model.encode(images, labels)
    for label in (0, 7):
        assert np.allclose(outputs[:, label], model.decode(latents, np.full(3, label)), atol=1e-6)
    assert outputs.shape == (3, 10, *Images().image_shape)
