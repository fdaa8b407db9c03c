"""What the scripts do with the library: which model a recipe becomes, which split is scored, what the 25 tiles show."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.cvaes import pictures
from experiments.cvaes.recipes import COLOUR, DIGITS
from experiments.cvaes.scores import one_line, score
from experiments.cvaes.training import build_model
from tfcvae import evaluate
from tfcvae.layers import check_labels

RECIPE = replace(DIGITS, network="tiny", latent_shape=(3,), wrong_labels=2, samples_per_class=4, importance_samples=2)


class Images:
    """Two splits of noise that differ in size and brightness."""

    image_shape, class_names = (8, 8, 1), tuple("0123456789")

    def arrays(self, split, binarises=False):
        assert binarises  # as the recipe's likelihood asks for
        count, brightness = {"validation": (40, 0.2), "test": (60, 0.7)}[split]
        rng = np.random.default_rng(count)
        images = (rng.random((count, *self.image_shape)) < brightness).astype("float32")
        return images, rng.integers(0, 10, count)


def read(images):
    """A judge that sees classes in the brightness of the first pixels."""
    return (100 * images[:, 0, :3, 0].mean(axis=1)).astype(int) % 10


def build(**options):
    """A model to which labels and images matter, and which has not been trained."""
    model = build_model(replace(RECIPE, **options), Images.image_shape, seed=0, steps=10)
    rng = np.random.default_rng(0)
    model.set_weights([0.3 * rng.standard_normal(weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def scores(model):
    return score(model, Images(), RECIPE, read)


def test_a_recipe_becomes_the_model_that_it_describes():
    recipe = replace(COLOUR, network="tiny", latent_shape=(2, 2, 3), prior="class", kl_weight=0.5, kl_warmup=0.3)
    recipe = replace(recipe, free_bits=0.2, label_noise=0.4, conditioning="input", label_dim=7, learning_rate=0.01)
    model = build_model(recipe, (8, 8, 3), seed=5, steps=200)
    config = model.get_config()
    names = ("network", "label_dim", "likelihood", "prior", "kl_weight", "free_bits", "label_noise", "conditioning")
    assert {name: config[name] for name in names} == {name: getattr(recipe, name) for name in names}
    assert (config["latent_shape"], config["kl_warmup_steps"], config["seed"]) == ((2, 2, 3), 60, 5)
    assert config["num_classes"] == 10 and config["image_shape"] == (8, 8, 3)
    schedule = model.optimizer._learning_rate
    assert max(float(schedule(step)) for step in range(200)) == pytest.approx(0.01, rel=0.01)


def test_the_test_split_is_scored_and_the_validation_split_relabelled(model, scores):
    images, labels = Images().arrays("test", True)
    test, relabel = scores["test"], scores["validation"]["relabel"]
    assert test["reconstruction_error"] == evaluate.reconstruction_error(model, images, labels)
    assert test["kl"] == evaluate.kl_divergence_of(model, images, labels)
    assert test["relabel"] == evaluate.relabel_scores(model, images, labels, read, 2)
    assert relabel == evaluate.relabel_scores(model, *Images().arrays("validation", True), read, 2)
    assert (test["relabel"]["images"], relabel["images"]) == (60, 40)
    assert test["importance_weighted_nll"]["samples"] == 2 and test["bits_per_dim"] is None
    assert test["latent_units"] == 3 and len(test["sample_accuracy"]["per_class"]) == 10


def test_the_line_of_a_model_has_what_to_read_it_against(scores):
    ignored = scores["test"]["relabel"]["ignored_label_accuracy"]
    line = one_line(scores["test"], 0.987)
    assert f"(label ignored: {ignored:.1%})" in line and line.endswith("the judge reads 98.7% of real images")


def test_the_tiles_show_random_test_images_sent_in_with_a_wrong_label(model, scores, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures.image_grids, "draw_wrong_labels", lambda *arguments: drawn.append(arguments))
    record = scores | {"judge": {"accuracy": 0.987}}
    for _ in range(2):
        pictures.draw_wrong_labels(model, Images(), read, record, tmp_path, "a model")
    inputs, outputs, true, asked, read_as, names, path, _, caption = drawn[0]
    images, labels = Images().arrays("test", True)
    chosen = [np.flatnonzero((images == tile).all(axis=(1, 2, 3)))[0] for tile in inputs]
    assert len(set(chosen)) == 25 and chosen != sorted(chosen)
    assert np.array_equal(true, labels[chosen]) and np.all(asked != true)
    check_labels(asked, 10)
    assert np.array_equal(outputs, model.relabel(inputs, asked))
    encoded_as_it_is = model.decode(model.encode(inputs, true)[0], asked)
    assert np.abs(outputs - encoded_as_it_is).max() > 1e-3  # which is the other reading
    assert np.array_equal(read_as, read(outputs)) and path == tmp_path / "wrong_labels.png"
    assert caption == pictures.wrong_labels_caption(model, record)
    assert all(np.array_equal(a, b) for a, b in zip(drawn[0][:5], drawn[1][:5], strict=True))


def test_captions_say_what_was_done_and_what_to_read_it_against(model, scores):
    record, moved = scores | {"judge": {"accuracy": 0.987}}, build(prior="class", conditioning="prior", label_noise=0.0)
    relabel = scores["test"]["relabel"]
    accuracy, ignored = relabel["readings"]["a"]["accuracy"], relabel["ignored_label_accuracy"]
    text = pictures.wrong_labels_caption(model, record)
    assert text.startswith("Encoder and decoder are both told the wrong label. Of all 120 such outputs the judge reads")
    assert f"{accuracy:.1%} as the label asked for (a model that ignores labels: {ignored:.1%})" in text
    assert "98.7% rightly" in text
    assert pictures.wrong_labels_caption(moved, record).startswith(
        "The decoder is told the wrong label, to whose prior"
    )
    assert "the latent need not repeat it" in pictures.what_latents_show(model)
    assert "without what the class says" in pictures.what_latents_show(moved)


def test_a_sweep_shows_one_latent_under_every_label(model):
    images, labels = (values[:3] for values in Images().arrays("test", True))
    outputs, held = pictures.sweep_labels(model, images, labels)
    latents, _ = model.encode(images, labels)
    for label in (0, 7):
        assert np.allclose(outputs[:, label], model.decode(latents, np.full(3, label)), atol=1e-6)
    assert outputs.shape == (3, 10, *Images.image_shape) and "the image's own label" in held


def test_a_sweep_moves_the_latent_along_where_the_label_enters_by_the_prior():
    model = build(prior="class", conditioning="prior", label_noise=0.0)
    images, labels = (values[:3] for values in Images().arrays("test", True))
    outputs, held = pictures.sweep_labels(model, images, labels)
    for label in (0, 7):
        assert np.allclose(outputs[:, label], model.relabel(images, np.full(3, label)), atol=1e-6)
    latents, _ = model.encode(images, labels)
    assert np.abs(outputs[:, 7] - model.decode(latents, np.full(3, 7))).max() > 1e-3 and "moved" in held
