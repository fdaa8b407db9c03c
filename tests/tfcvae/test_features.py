import keras
import numpy as np
import pytest

from tfcvae.features import build_feature_classifier, feature_distance, feature_network

SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((50, *SHAPE), "float32")


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(0)
    return build_feature_classifier(SHAPE, 5, "tiny")


@pytest.fixture(scope="module")
def network(classifier, images):
    return feature_network(classifier, images, batch_size=20)


def test_features_are_those_of_the_classifier_but_for_their_scale(network, classifier, images):
    *features, logits = network.predict_on_batch(images)
    assert [f.shape for f in features] == [(50, 8, 8, 8), (50, 4, 4, 16)] and logits.shape == (50, 5)
    assert np.allclose(logits, classifier.predict_on_batch(images), atol=1e-5)
    stages = keras.Model(classifier.input, [classifier.get_layer(f"features{n}").output for n in (0, 1)])
    for scale, plain in zip(features, stages.predict_on_batch(images), strict=True):
        assert np.allclose(scale, plain / plain.std(axis=(0, 1, 2)), rtol=1e-3, atol=1e-4)


def test_a_channel_that_never_varies_stays_finite(images):
    classifier = build_feature_classifier(SHAPE, 5, "tiny")
    classifier.set_weights([np.zeros_like(w) for w in classifier.get_weights()])
    features = feature_network(classifier, images[:2]).predict_on_batch(images[:2])
    assert all(np.isfinite(x).all() for x in features)


def test_it_is_frozen(network, images):
    assert not network.trainable_variables
    before = network.get_weights()
    network(images[:4], training=True)  # batch statistics included
    assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), before, strict=True))


def test_a_saved_network_puts_out_the_same(network, images, tmp_path):
    network.save(tmp_path / "features.keras")
    loaded = keras.models.load_model(tmp_path / "features.keras")
    assert not loaded.trainable_variables
    for a, b in zip(loaded.predict_on_batch(images[:3]), network.predict_on_batch(images[:3]), strict=True):
        assert np.allclose(a, b, atol=1e-6)


def test_distance_by_hand():
    first = [np.zeros((2, 2, 2, 1), "float32"), np.zeros((2, 1, 1, 3), "float32")]
    second = [np.ones((2, 2, 2, 1), "float16") * 3, np.array([[[[0, 3, 0]]], [[[1, 1, 1]]]], "float16")]
    distance = feature_distance(first, second)  # means of (9, 9 / 3) and (9, 1)
    assert distance.dtype == "float32" and np.allclose(distance, [6, 5])


def test_parameter_counts():
    classifier = build_feature_classifier(SHAPE, 5, "tiny")
    # Stem 3 -> 8, two convolutions at each stage, 1x1 from 8 to 16, none with a bias; normalization has 4 a channel.
    convolutions = 9 * 3 * 8 + 2 * 9 * 8 * 8 + 8 * 16 + 2 * 9 * 16 * 16
    assert classifier.count_params() == convolutions + 4 * (2 * 8 + 2 * 16 + 16) + (16 + 1) * 5
