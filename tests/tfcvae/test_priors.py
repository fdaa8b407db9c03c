import numpy as np
import pytest
import tensorflow as tf

from tfcvae.priors import PRIORS, build_prior, free_bits, kl_divergence, log_normal


def test_kl_by_hand():
    # From N(0, 1): the same; mean 1; variance 4; and mean 1 with variance 4 against N(-1, 9).
    mean, variance = np.array([0, 1, 0, 1.0]), np.array([1, 1, 4, 4.0])
    prior_mean, prior_variance = np.array([0, 0, 0, -1.0]), np.array([1, 1, 1, 9.0])
    kl = kl_divergence(mean, np.log(variance), prior_mean, np.log(prior_variance))
    expected = [0, 1 / 2, (4 - 1 - np.log(4)) / 2, (np.log(9 / 4) + (4 + 4) / 9 - 1) / 2]
    assert kl.dtype == "float32" and np.allclose(kl, expected, atol=1e-6)


def test_kl_of_a_full_covariance_is_that_of_the_matrices():
    rng = np.random.default_rng(0)
    (mean, prior_mean), (log_variance, prior_log_variance) = rng.normal(size=(2, 2, 3)).astype("float32")
    lower = np.tril(rng.normal(size=(3, 3)).astype("float32"), -1)
    kl = kl_divergence(mean, log_variance, prior_mean, prior_log_variance, lower)
    factor = lower + np.diag(np.exp(log_variance / 2))
    covariance, precision = factor @ factor.T, np.diag(np.exp(-prior_log_variance))
    apart = mean - prior_mean
    expected = np.trace(precision @ covariance) + apart @ precision @ apart - 3
    expected += prior_log_variance.sum() - np.linalg.slogdet(covariance)[1]
    assert np.sum(kl) == pytest.approx(expected / 2, rel=1e-5)


def test_log_normal_by_hand_over_spatial_latents():
    latents = np.zeros((2, 2, 2, 1), "float32")
    latents[1] = 3.0
    value = log_normal(latents, np.full_like(latents, 1.0), np.full_like(latents, np.log(4)))
    constant = -np.log(2 * np.sqrt(2 * np.pi))
    assert np.allclose(value, [4 * (constant - 1 / 8), 4 * (constant - 4 / 8)])


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("latent_shape", [(5,), (2, 2, 3)])
def test_every_prior_starts_as_the_standard_normal(name, latent_shape):
    mean, log_variance = build_prior(name, latent_shape, 4)(np.ones((6, 4), "float32"))
    assert mean.shape == log_variance.shape == (6, *latent_shape)
    assert mean.dtype == log_variance.dtype == "float32"
    assert not np.any(mean) and not np.any(log_variance)


def test_class_prior_is_linear_in_the_embedding_with_bounded_log_variance():
    prior = build_prior("class", (2,), 1)
    prior.project.set_weights([np.array([[1, 2, 1e5, -1e5]], "float32"), np.array([0.5, 0, 0, 0], "float32")])
    mean, log_variance = prior(np.array([[3.0], [0.0]], "float32"))
    assert np.allclose(mean, [[3.5, 6], [0.5, 0]])
    assert np.allclose(log_variance, [[10, -10], [0, 0]])
    assert not build_prior("standard", (2,), 1).trainable_variables


def test_free_bits_hold_each_unit_at_the_minimum_without_a_gradient():
    kl = tf.constant([[0.1, 0.5], [0.3, 0.7]])  # means 0.2 and 0.6
    with tf.GradientTape() as tape:
        tape.watch(kl)
        value = free_bits(kl, 0.3)
    assert float(value) == pytest.approx(0.3 + 0.6)
    assert np.allclose(tape.gradient(value, kl), [[0, 0.5], [0, 0.5]])
    assert float(free_bits(kl, 0.0)) == pytest.approx(0.8)
