import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from tfcvae.likelihoods import LIKELIHOODS, build_likelihood

LN3 = math.log(3)
LEVELS = np.arange(256, dtype="float32") / 255


def image(*values):
    """One image, a row of grey pixels."""
    return np.array(values, "float32").reshape(1, 1, -1, 1)


def test_what_compares_with_papers_and_what_the_decoder_puts_out():
    built = {name: build_likelihood(name) for name in LIKELIHOODS}
    assert {name for name in built if not built[name].comparable} == {"bernoulli_grey", "features", "gaussian"}
    assert [name for name in built if built[name].uses_features] == ["features"]
    assert {name: likelihood.channels((32, 32, 3)) for name, likelihood in built.items()} == {
        "bernoulli": 3,
        "bernoulli_grey": 3,
        "gaussian": 3,
        "discretized_logistic": 6,
        "coupled_discretized_logistic": 9,
        "features": 3,
    }


def test_the_energy_of_pixels_and_features_by_hand():
    # Logits of ln 3 and 0 are pixels of 3/4 and 1/2: squared differences of 1/16 and 1/4 from 1, on average 5/32.
    likelihood, logits = build_likelihood("features"), image(LN3, 0)
    assert np.allclose(likelihood.mean(logits), image(3 / 4, 1 / 2))
    energy = likelihood.log_prob(image(1, 1), logits, np.float32([0.25]))
    assert energy.shape == (1,) and np.allclose(energy, -2500 * 5 / 32 - 200 * 0.25)


def test_bernoulli_by_hand():
    # Logits of ln 3, -ln 3 and 0 are probabilities of 3/4, 1/4 and 1/2.
    likelihood, logits = build_likelihood("bernoulli"), image(LN3, LN3, -LN3, 0)
    expected = math.log(3 / 4) + math.log(1 / 4) + math.log(3 / 4) + math.log(1 / 2)
    assert np.allclose(likelihood.log_prob(image(1, 0, 0, 1), logits), [expected])
    assert np.allclose(likelihood.mean(logits), image(3 / 4, 3 / 4, 1 / 4, 1 / 2))


def test_bernoulli_probabilities_of_all_images_sum_to_1():
    every = np.array([[(i >> bit) & 1 for bit in range(4)] for i in range(16)], "float32").reshape(16, 1, 4, 1)
    logits = np.repeat(image(LN3, -2, 0.3, 5), 16, axis=0)
    assert np.sum(np.exp(build_likelihood("bernoulli").log_prob(every, logits))) == pytest.approx(1, abs=1e-5)


def test_dynamic_binarisation_leaves_black_and_white_as_they_are():
    extremes = np.array([0.0, np.nextafter(np.float32(1), np.float32(0))])  # the range of uniform noise
    for value in (0.0, 1.0):
        drawn = build_likelihood("bernoulli").prepare(image(value, value), image(*extremes))
        assert np.array_equal(drawn, image(value, value))


@pytest.mark.parametrize("name", sorted(set(LIKELIHOODS) - {"bernoulli"}))
def test_the_others_leave_images_as_they_are(name):
    likelihood = build_likelihood(name)
    assert not likelihood.binarises
    assert np.array_equal(likelihood.prepare(image(0, 0.3, 1)), image(0, 0.3, 1))


def test_grey_bernoulli_is_the_cross_entropy():
    value = build_likelihood("bernoulli_grey").log_prob(image(0.2, 1), image(LN3, 0))
    assert np.allclose(value, [0.2 * math.log(3 / 4) + 0.8 * math.log(1 / 4) + math.log(1 / 2)])


def test_gaussian_by_hand_with_a_trained_sigma():
    likelihood = build_likelihood("gaussian")
    likelihood.raw_log_sigma.assign(6 * math.atanh(math.log(0.1) / 6))  # sigma 0.1
    assert len(likelihood.trainable_variables) == 1
    # Means of 0.5 and 0.75; pixels 0 and 2 standard deviations away.
    value = likelihood.log_prob(image(0.5, 0.95), image(0, 0.25))
    assert np.allclose(value, [-2 * math.log(0.1 * math.sqrt(2 * math.pi)) - 2], atol=1e-4)
    assert np.allclose(likelihood.mean(image(0, 0.25, -3, 3)), image(0.5, 0.75, 0, 1))
    with tf.GradientTape() as tape:
        loss = -likelihood.log_prob(image(0.5, 0.6), image(0, 0))
    # d/dlog(sigma) of n log(sigma) + residual / (2 sigma^2): 2 - 0.01 / 0.01, times the slope of the bound.
    slope = 1 - (math.log(0.1) / 6) ** 2
    assert np.allclose(tape.gradient(loss, likelihood.trainable_variables)[0], (2 - 1) * slope, atol=1e-4)


# Raw log-scales of +-1e4 lie at the bounds: scales of e^-8 and e^2.
@pytest.mark.parametrize("log_scale", [-1e4, -1.0, 0.0, 1e4])
@pytest.mark.parametrize("location", [-3.0, -0.5, 0.123, 0.7])
def test_discretized_logistic_probabilities_of_256_levels_sum_to_1(location, log_scale):
    parameters = np.tile(np.array([location, log_scale], "float32"), (256, 1)).reshape(256, 1, 1, 2)
    log_prob = build_likelihood("discretized_logistic").log_prob(LEVELS.reshape(256, 1, 1, 1), parameters)
    assert np.isfinite(log_prob).all()
    total = np.exp(np.asarray(log_prob, "float64")).sum()
    assert total == pytest.approx(1, abs=1e-3 if log_scale == -1e4 else 2e-5)


@pytest.mark.parametrize("raw", [-4.0, 0.0, 2.0])
def test_discretized_logistic_against_double_precision(raw):
    """Also 30 and more scales away from the location, where float32 differences of sigmoids vanish."""
    location, scale = 0.1, math.exp(5 * math.tanh(raw / 5) - 3)
    upper, lower = ((LEVELS.astype("float64") + edge / 255 - 0.5 - location) / scale for edge in (0.5, -0.5))
    upper[-1], lower[0] = np.inf, -np.inf
    expected = np.log(np.where(lower > 0, expit(-lower) - expit(-upper), expit(upper) - expit(lower)))
    parameters = np.stack([np.full(256, location), np.full(256, raw)], axis=-1).reshape(1, 1, 256, 2)
    value = build_likelihood("discretized_logistic").log_prob_of_pixels(
        LEVELS.reshape(1, 1, 256, 1), parameters.astype("float32")
    )
    assert expected.min() < (-100 if raw == -4 else 0)
    assert np.allclose(np.asarray(value).ravel(), expected, rtol=1e-4, atol=1e-3)


def test_discretized_logistic_of_colours_is_the_sum_over_channels():
    likelihood, rng = build_likelihood("discretized_logistic"), np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 4, 4, 3)).astype("float32") / 255
    parameters = rng.normal(size=(2, 4, 4, 6)).astype("float32")
    single = [likelihood.log_prob(images[..., c : c + 1], parameters[..., c::3]) for c in range(3)]
    assert np.allclose(likelihood.log_prob(images, parameters), sum(single), rtol=1e-5)
    assert np.allclose(likelihood.mean(parameters), np.clip(parameters[..., :3] + 0.5, 0, 1))


def test_coupled_channels_are_logistics_whose_locations_move_with_the_errors_before_them():
    coupled, plain = build_likelihood("coupled_discretized_logistic"), build_likelihood("discretized_logistic")
    pixel = np.array([0.8, 0.4, 0.6], "float32").reshape(1, 1, 1, 3)
    location, log_scale = [0.1, -0.2, 0.0], [0.5, -1.0, 0.3]
    green_red, blue_red, blue_green = 0.7, -0.4, 1.5  # coefficients, before the bound
    parameters = np.array([*location, *log_scale, green_red, blue_red, blue_green], "float32").reshape(1, 1, 1, 9)
    errors = [0.8 - 0.6, 0.4 - 0.3]
    moved = [0.1, -0.2 + 2 * np.tanh(0.35) * errors[0]]
    moved += [2 * np.tanh(-0.2) * errors[0] + 2 * np.tanh(0.75) * errors[1]]
    expected = plain.log_prob(pixel, np.array([*moved, *log_scale], "float32").reshape(1, 1, 1, 6))
    assert np.allclose(coupled.log_prob(pixel, parameters), expected, rtol=1e-5)
    assert np.allclose(coupled.mean(parameters).numpy().ravel(), [0.6, 0.3, 0.5])
    grey, one = image(0.2, 0.9), np.array([0.3, -1, 0.1, 0.4], "float32").reshape(1, 1, 2, 2)
    assert np.array_equal(coupled.log_prob(grey, one), plain.log_prob(grey, one))


def test_coupled_probabilities_of_256_levels_of_blue_sum_to_p_of_red_and_green():
    likelihood, rng = build_likelihood("coupled_discretized_logistic"), np.random.default_rng(0)
    pixels = np.full((256, 1, 1, 3), 100 / 255, "float32")
    pixels[..., 2] = LEVELS.reshape(256, 1, 1)
    parameters = np.tile(rng.normal(size=9).astype("float32"), (256, 1)).reshape(256, 1, 1, 9)
    terms = np.asarray(likelihood.log_prob_of_pixels(pixels, parameters))
    assert np.ptp(terms[..., :2], axis=0).max() == 0  # nothing before blue depends on it
    assert np.exp(terms[..., 2]).sum() == pytest.approx(1, abs=2e-5)


def in_features(likelihood, count):
    """The further argument of a likelihood that compares in features, too."""
    return [np.zeros(count, "float32")] if likelihood.uses_features else []


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("extreme", [-1e4, 0.0, 1e4])
def test_values_and_gradients_are_finite_for_extreme_parameters(name, extreme):
    likelihood = build_likelihood(name)
    pixels = image(0, 1) if name == "bernoulli" else image(0, 0.5, 1)
    parameters = tf.fill((*pixels.shape[:3], likelihood.channels((1, 1, 1))), extreme)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        value = likelihood.log_prob(pixels, parameters, *in_features(likelihood, 1))
    assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, parameters)).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_sums_are_float32_under_every_policy(name, dtype):
    """128 x 128 x 3 terms: float16 cannot hold their sum, bfloat16 cannot count it."""
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    likelihood = build_likelihood(name)
    images = np.ones((2, 128, 128, 3), "float32")
    parameters = tf.zeros((2, 128, 128, likelihood.channels((128, 128, 3))), dtype)
    value = likelihood.log_prob(images, parameters, *in_features(likelihood, 2))
    pixel = images[:1, :1, :1, :1], parameters[:1, :1, :1, : likelihood.channels((1, 1, 1))]
    one = likelihood.log_prob(*pixel, *in_features(likelihood, 1))
    assert value.shape == (2,) and value.dtype == "float32" and likelihood.mean(parameters).dtype == "float32"
    terms = 1 if name == "features" else 128 * 128 * 3  # an energy takes their mean
    assert np.allclose(value, terms * np.asarray(one), rtol=1e-4)
