"""Priors over the latent, and the KL divergence of the posterior from them.

References:
    - Kingma & Welling 2014, "Auto-Encoding Variational Bayes", appendix B (KL in closed form).
    - Sohn et al. 2015, "Learning Structured Output Representation using Deep Conditional Generative Models" (p(z|y)).
    - Kingma et al. 2016, "Improved Variational Inference with Inverse Autoregressive Flow", section C.8 (free bits).
"""

import math

import keras
from keras import ops

from tfcvae.layers import soft_bound
from tfcvae.registry import choose

LOG_VARIANCE_LIMIT = 10.0


@keras.saving.register_keras_serializable("tfcvae")
class StandardPrior(keras.layers.Layer):
    """N(0, I), whatever the label.

    Args:
        latent_shape: `(dim,)` or `(height, width, channels)`.

    Call arguments:
        embedding: of the labels, `(batch, label_dim)`.

    Returns:
        `(mean, log_variance)`: float32 `(batch, *latent_shape)` each.
    """

    def __init__(self, latent_shape, **kwargs):
        super().__init__(**kwargs)
        self.latent_shape = tuple(latent_shape)

    def call(self, embedding):
        zeros = ops.zeros((ops.shape(embedding)[0], *self.latent_shape), dtype="float32")
        return zeros, zeros

    def get_config(self):
        return {**super().get_config(), "latent_shape": self.latent_shape}


@keras.saving.register_keras_serializable("tfcvae")
class ClassPrior(StandardPrior):
    """p(z|y) = N(mean(y), diag(exp(log_variance(y)))), learned: linear in the label's embedding, N(0, I) at first.

    The log-variance is softly bounded to (-10, 10). Arguments and results as for `StandardPrior`.
    """

    def build(self, embedding_shape):
        size = math.prod(self.latent_shape)
        self.project = keras.layers.Dense(2 * size, kernel_initializer="zeros", dtype="float32")
        self.project.build(embedding_shape)

    def call(self, embedding):
        mean, log_variance = ops.split(self.project(ops.cast(embedding, "float32")), 2, axis=-1)
        shape = (-1, *self.latent_shape)
        return ops.reshape(mean, shape), soft_bound(ops.reshape(log_variance, shape), LOG_VARIANCE_LIMIT)


PRIORS = {"standard": StandardPrior, "class": ClassPrior}
"""Priors by name: layers built from the latent's shape."""


def build_prior(name, latent_shape, label_dim):
    """Builds a prior, its weights included.

    Args:
        name: a key of `PRIORS`.
        latent_shape: `(dim,)` or `(height, width, channels)`.
        label_dim: length of the label's embedding.

    Raises:
        ValueError: for an unknown name; the message lists the known.
    """
    prior = choose(PRIORS, name, "prior")(latent_shape, name="prior")
    prior.build((None, label_dim))
    return prior


def kl_divergence(mean, log_variance, prior_mean, prior_log_variance, lower=None):
    """KL(q || p) of two normal distributions, in nats a latent unit; p has a diagonal covariance.

    `(log v_p - log v_q + (v_q + (m_q - m_p)^2) / v_p - 1) / 2`, at least 0. Where q has a full covariance, every row of
    `lower` adds its sum of squares to the second `v_q`, the unit's own variance; the first one is then its variance
    given the units before it, and their product the determinant.

    Args:
        mean, log_variance: of q, any shape.
        prior_mean, prior_log_variance: of p, the same shape.
        lower: of q's Cholesky factor; see `tfcvae.layers.reparameterise`.

    Returns:
        Float32 of the same shape; sum over the latent's axes for the divergence of an image, at least 0.
    """
    mean, log_variance, prior_mean, prior_log_variance = (
        ops.cast(x, "float32") for x in (mean, log_variance, prior_mean, prior_log_variance)
    )
    difference = log_variance - prior_log_variance
    spread = ops.square(mean - prior_mean)
    if lower is not None:
        spread += ops.sum(ops.square(lower), axis=-1)
    return 0.5 * (ops.exp(difference) + spread * ops.exp(-prior_log_variance) - 1 - difference)


def free_bits(kl, minimum, means=None):
    """KL with free bits: units whose mean over the batch is below `minimum` count as `minimum`, without a gradient.

    Args:
        kl: nats a unit, `(batch, *latent_shape)`.
        minimum: nats a unit, at least 0; 0 gives the plain mean over the batch.
        means: nats a unit over the whole batch, `latent_shape`, where `kl` is of one device's share of it.

    Returns:
        Float32 scalar, nats an image.
    """
    own = ops.mean(kl, axis=0)
    return ops.sum(ops.where((own if means is None else means) > minimum, own, minimum))


def log_normal(latents, mean, log_variance):
    """log N(latents; mean, exp(log_variance)), summed over all axes but the first.

    Args:
        latents, mean, log_variance: `(batch, *latent_shape)`.

    Returns:
        Float32 `(batch,)`, nats.
    """
    latents, mean, log_variance = (ops.cast(x, "float32") for x in (latents, mean, log_variance))
    terms = ops.square(latents - mean) * ops.exp(-log_variance) + log_variance + math.log(2 * math.pi)
    return -0.5 * ops.sum(terms, axis=tuple(range(1, len(latents.shape))))
