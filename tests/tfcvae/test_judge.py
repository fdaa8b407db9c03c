import keras
import numpy as np
import pytest

from tfcvae import glyphs
from tfcvae.data import TrainingData, to_arrays
from tfcvae.judge import JUDGES, build_judge, frechet_distance, judge_features, predict_labels


@pytest.mark.parametrize("name, layer", [("tiny", "stem_conv"), ("plain-tiny", "stage0_conv1_conv")])
def test_logits_are_float32_under_mixed_precision(name, layer):
    keras.config.set_dtype_policy("mixed_bfloat16")
    judge = build_judge((8, 8, 1), 7, name)
    assert judge.output_shape == (None, 7) and judge.outputs[0].dtype == "float32"
    assert judge.get_layer(layer).compute_dtype == "bfloat16"


def test_parameter_counts_of_both_kinds():
    """3x3 convolutions without bias, normalization with four values a channel, and the logits."""
    residual = 9 * (3 * 8 + 8 * 16 + 2 * 16 * 16) + 4 * (8 + 3 * 16) + (16 + 1) * 5
    plain = 9 * (3 * 8 + 8 * 8 + 8 * 16 + 16 * 16) + 4 * (2 * 8 + 2 * 16) + (16 + 1) * 5
    assert build_judge((8, 8, 3), 5, "tiny").count_params() == residual
    assert build_judge((8, 8, 3), 5, "plain-tiny").count_params() == plain
    assert [kind for kind, _ in JUDGES.values()] == ["residual"] * 3 + ["plain"] * 3


@pytest.fixture(scope="module")
def drawn():
    """Training batches, and test images with their labels, which are different draws."""
    return TrainingData(glyphs.examples("train", 500), 25, crop=1), *to_arrays(glyphs.examples("test", 200))


@pytest.mark.parametrize("name", ["tiny", "plain-tiny"])
def test_a_judge_learns_to_read_glyphs(drawn, name):
    """Chance is 10 %."""
    data, images, labels = drawn
    keras.utils.set_random_seed(0)
    judge = build_judge((28, 28, 1), 10, name)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    judge.compile(keras.optimizers.Adam(0.005), loss, jit_compile=False)
    for epoch in range(10):
        judge.fit(data.epoch(epoch), verbose=0, shuffle=False)
    read = predict_labels(judge, images, batch_size=64)
    assert read.shape == (200,) and np.issubdtype(read.dtype, np.integer)
    assert np.mean(read == labels) > 0.6
    assert np.array_equal(read, predict_labels(judge, images, batch_size=200))


def test_logits_are_linear_in_the_features():
    judge = build_judge((8, 8, 1), 5, "plain-tiny")
    images = np.random.default_rng(0).random((7, 8, 8, 1), "float32")
    features = judge_features(judge, images, batch_size=3)
    weights, bias = judge.get_layer("logits").get_weights()
    assert features.shape == (7, 16) and features.dtype == "float32"
    assert np.allclose(features @ weights + bias, judge.predict_on_batch(images), atol=1e-5)


def standardised(count, channels, seed=0):
    """Features whose sample mean is exactly 0 and whose sample covariance is exactly the identity."""
    x = np.random.default_rng(seed).standard_normal((count, channels))
    x -= x.mean(axis=0)
    return np.linalg.qr(x)[0] * np.sqrt(count - 1)


def test_frechet_distance_in_closed_form():
    first, second = standardised(40, 3), standardised(30, 3, seed=1)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, second) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, second + [3, 0, -4]) == pytest.approx(25)
    # Diagonal covariances: the squared difference of the standard deviations. These do not commute with a rotation.
    assert frechet_distance(first * [1, 2, 3], second * [4, 2, 1] + [0, 1, 0]) == pytest.approx(9 + 0 + 4 + 1)
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
    assert frechet_distance(first * [1, 2, 3] @ turn, second * [4, 2, 1] @ turn) == pytest.approx(13)
    # [[2, 1], [1, 2]] and diag(1, 4): the trace of the root of their product [[2, 4], [1, 8]] is sqrt(10 + 2 sqrt(12)).
    mix = np.linalg.cholesky([[2, 1], [1, 2]]).T
    distance = frechet_distance(standardised(40, 2) @ mix, standardised(30, 2, 1) * [1, 2])
    assert distance == pytest.approx(4 + 5 - 2 * np.sqrt(10 + 2 * np.sqrt(12)))
