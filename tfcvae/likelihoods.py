"""Likelihoods p(x|z, y): the log-probability of an image given what the decoder puts out, in nats.

All share one interface. Log-probabilities are sums over pixels and channels, never means: a mean would weigh the KL
divergence hundreds of times too much. All arithmetic is float32 under every precision policy.

References:
    - Salakhutdinov & Murray 2008, "On the Quantitative Analysis of Deep Belief Networks" (binarised MNIST).
    - Rybkin et al. 2021, "Simple and Effective VAE Training with Calibrated Decoders" (sigma-VAE).
    - Kingma et al. 2016, "Improved Variational Inference with Inverse Autoregressive Flow" (discretized logistic).
    - Salimans et al. 2017, "PixelCNN++" (its edge cases at 0 and 255).
"""

import math

import keras
from keras import ops

from tfcvae.layers import soft_bound
from tfcvae.registry import choose

LEVELS = 256


class Likelihood(keras.layers.Layer):
    """What all likelihoods have in common; images are float32 `(batch, height, width, channels)` in [0, 1].

    Attributes:
        comparable: whether the log-probabilities compare with those of papers on the same data.
        binarises: whether `prepare` draws black-and-white images from grey ones, for which it needs noise.
        uses_features: whether `log_prob` also takes the distance of the images in a feature network.
        per_channel: decoder outputs for each image channel.
    """

    comparable = True
    binarises = False
    uses_features = False
    per_channel = 1

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def channels(self, image_shape):
        """Channels that the decoder has to put out for images of shape `(height, width, channels)`."""
        return self.per_channel * image_shape[-1]

    def prepare(self, images, noise=None):
        """The images as the model sees and explains them, float32.

        Args:
            images: `(batch, height, width, channels)` in [0, 1].
            noise: uniform in [0, 1), of the same shape; only where `binarises`.
        """
        return ops.cast(images, "float32")

    def log_prob(self, images, parameters):
        """log p(image | parameters).

        Args:
            images: what `prepare` returns.
            parameters: the decoder's output, `(batch, height, width, channels(image_shape))`.

        Returns:
            Float32 `(batch,)`, nats.
        """
        pixels = self.log_prob_of_pixels(ops.cast(images, "float32"), ops.cast(parameters, "float32"))
        return ops.sum(pixels, axis=(1, 2, 3))

    def log_prob_of_pixels(self, images, parameters):
        """The terms of `log_prob`, `(batch, height, width, channels)`."""
        raise NotImplementedError

    def mean(self, parameters):
        """The mean image, float32 `(batch, height, width, channels)` in [0, 1]."""
        return ops.clip(0.5 + ops.cast(parameters, "float32"), 0.0, 1.0)


@keras.saving.register_keras_serializable("tfcvae")
class Bernoulli(Likelihood):
    """Black-and-white pixels; parameters are logits. Grey images are binarised anew each time (dynamic binarisation).

    A pixel of 0 or 1 stays what it is, so that images binarised once pass through unchanged.
    """

    binarises = True

    def prepare(self, images, noise=None):
        return ops.cast(ops.cast(noise, "float32") < ops.cast(images, "float32"), "float32")

    def log_prob_of_pixels(self, images, parameters):
        return images * parameters - ops.softplus(parameters)

    def mean(self, parameters):
        return ops.sigmoid(ops.cast(parameters, "float32"))


@keras.saving.register_keras_serializable("tfcvae")
class BernoulliGrey(Bernoulli):
    """Bernoulli cross-entropy of grey pixels in [0, 1]: common, but no log-probability, so not comparable with any.

    Its values have no normalisation over [0, 1] (Loaiza-Ganem & Cunningham 2019, "The Continuous Bernoulli").
    """

    comparable = False
    binarises = False

    def prepare(self, images, noise=None):
        return ops.cast(images, "float32")


@keras.saving.register_keras_serializable("tfcvae")
class Gaussian(Likelihood):
    """Normal pixels around `0.5 + parameters` with one learned standard deviation for the whole dataset.

    A density, not a probability: on pixels of 256 levels it compares with nothing, and has no bits/dim. The log of
    sigma is a weight, softly bounded to (-6, 6).
    """

    comparable = False

    def build(self, input_shape):
        self.raw_log_sigma = self.add_weight((), initializer=keras.initializers.Constant(-1.0), name="raw_log_sigma")

    @property
    def log_sigma(self):
        """Log of the standard deviation of a pixel, in units of [0, 1]."""
        return soft_bound(self.raw_log_sigma, 6.0)

    def log_prob_of_pixels(self, images, parameters):
        scaled = (images - 0.5 - parameters) * ops.exp(-self.log_sigma)
        return -0.5 * ops.square(scaled) - self.log_sigma - 0.5 * math.log(2 * math.pi)


@keras.saving.register_keras_serializable("tfcvae")
class DiscretizedLogistic(Likelihood):
    """A logistic distribution rounded to the 256 levels k / 255, so that their probabilities sum to 1.

    Level k has the mass between (k - 1/2) / 255 and (k + 1/2) / 255; levels 0 and 255 also have the tails. Parameters
    are, for each channel, the location less 1/2, then the log-scale plus 3 (bounded: log-scales lie in (-8, 2)).
    """

    per_channel = 2

    def log_prob_of_pixels(self, images, parameters):
        location, log_scale = ops.split(parameters, 2, axis=-1)
        inverse_scale = ops.exp(3.0 - soft_bound(log_scale, 5.0))
        level = ops.round(images * (LEVELS - 1))
        below = (level - 0.5) / (LEVELS - 1) - 0.5 - location  # distance of the level's lower edge from the location
        upper, lower = (below + 1 / (LEVELS - 1)) * inverse_scale, below * inverse_scale
        # sigmoid(upper) - sigmoid(lower) = sigmoid(upper) sigmoid(-lower) (1 - exp(lower - upper)), exact in any tail
        log_upper, log_lower = ops.log_sigmoid(upper), ops.log_sigmoid(-lower)
        inside = log_upper + log_lower + ops.log(-ops.expm1(-inverse_scale / (LEVELS - 1)))
        return ops.where(level == 0, log_upper, ops.where(level == LEVELS - 1, log_lower, inside))

    def mean(self, parameters):
        """The location, clipped to [0, 1]: the distribution's mean but for what lies beyond black and white."""
        return super().mean(ops.split(parameters, 2, axis=-1)[0])


@keras.saving.register_keras_serializable("tfcvae")
class CoupledDiscretizedLogistic(DiscretizedLogistic):
    """`DiscretizedLogistic` whose channels know each other: p(red) p(green | red) p(blue | red, green) in each pixel.

    The location of a channel moves with how far the channels before it are from theirs, by coefficients in (-2, 2) that
    the decoder puts out after locations and log-scales (Salimans et al. 2017, section 2.2). Errors of colours go
    together, so this explains colour images much better. The mean image is that of the locations, as before.
    """

    def channels(self, image_shape):
        colours = image_shape[-1]
        return 2 * colours + colours * (colours - 1) // 2

    def log_prob_of_pixels(self, images, parameters):
        colours = images.shape[-1]
        location, log_scale, coefficients = ops.split(parameters, [colours, 2 * colours], axis=-1)
        coefficients, error = soft_bound(coefficients, 2.0), images - 0.5 - location
        moved, used = [location[..., :1]], 0
        for colour in range(1, colours):
            weights = coefficients[..., used : used + colour]
            shift = ops.sum(weights * error[..., :colour], axis=-1, keepdims=True)
            moved, used = [*moved, location[..., colour : colour + 1] + shift], used + colour
        return super().log_prob_of_pixels(images, ops.concatenate([*moved, log_scale], axis=-1))

    def mean(self, parameters):
        colours = (math.isqrt(9 + 8 * parameters.shape[-1]) - 3) // 2  # of c, channels is 2 c + c (c - 1) / 2
        return super().mean(parameters[..., : 2 * colours])


@keras.saving.register_keras_serializable("tfcvae")
class PixelsAndFeatures(Likelihood):
    """An energy in place of a probability: distance in pixels and in the features of a classifier.

    `-log_prob = pixel_weight * mean squared error of pixels + feature_weight * feature distance`. It has no
    normalisation over images, so it is no log-probability: it compares with nothing and has no bits/dim. What it is
    for: in features the label is worth a lot (Hou et al. 2017). Parameters are logits of the mean image.
    """

    comparable = False
    uses_features = True
    pixel_weight, feature_weight = 2500.0, 200.0

    def log_prob(self, images, parameters, feature_distance):
        """Minus the energy, float32 `(batch,)`.

        Args:
            feature_distance: of the images from the mean images; see `tfcvae.features.feature_distance`.
        """
        pixels = ops.mean(ops.square(images - self.mean(parameters)), axis=(1, 2, 3))
        return -self.pixel_weight * pixels - self.feature_weight * feature_distance

    def mean(self, parameters):
        return ops.sigmoid(ops.cast(parameters, "float32"))


LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "bernoulli_grey": BernoulliGrey,
    "gaussian": Gaussian,
    "discretized_logistic": DiscretizedLogistic,
    "coupled_discretized_logistic": CoupledDiscretizedLogistic,
    "features": PixelsAndFeatures,
}


def build_likelihood(name):
    """Builds a likelihood, its weights included.

    Args:
        name: a key of `LIKELIHOODS`.

    Raises:
        ValueError: for an unknown name; the message lists the known.
    """
    likelihood = choose(LIKELIHOODS, name, "likelihood")(name="likelihood")
    likelihood.build(None)
    return likelihood
