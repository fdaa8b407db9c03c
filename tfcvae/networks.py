"""Encoder and decoder: residual convolutional networks, modulated by the label at every residual block.

For comparison there is also the plain way of telling a network the label: once, at its input.

Both work at full, half, quarter ... resolution. Features are normalized image by image (group normalization with one
group), not over the batch: batch statistics would make training and evaluation, and replicas of `tf.distribute`,
disagree. It happens once a block, just before the label scales and shifts the features.

References:
    - He et al. 2016, "Identity Mappings in Deep Residual Networks" (activation before convolution).
    - Wu & He 2018, "Group Normalization".
    - Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis" (normalize, then modulate by the label).
    - Kingma & Welling 2019, "An Introduction to Variational Autoencoders" (full covariance).
"""

import math
from dataclasses import dataclass

import keras
from keras import layers, ops

from tfcvae.layers import LabelModulation, StrictlyLower, soft_bound
from tfcvae.priors import LOG_VARIANCE_LIMIT
from tfcvae.registry import choose

POSTERIORS = ("diagonal", "full")
"""Covariances of the posterior by name: latent units independent of each other, or of a flat latent any covariance,
which is closer to the true posterior (Kingma & Welling 2019, section 2.5.1)."""


@dataclass(frozen=True)
class Size:
    """Size of an encoder and of its mirror image, the decoder.

    Attributes:
        channels: at full, half, quarter ... resolution; at least three levels.
        blocks: residual blocks at each of them.
        hidden: units of a dense layer between features and a flat latent; it helps to keep the class out of the latent.
        encoder: the size of an encoder that is no mirror image, with as many levels.
    """

    channels: tuple
    blocks: tuple
    hidden: int
    encoder: "Size | None" = None


NETWORKS = {
    "tiny": Size(channels=(4, 8, 16), blocks=(0, 1, 1), hidden=32),
    "small": Size(channels=(16, 32, 64), blocks=(0, 1, 2), hidden=256),
    "digits": Size(
        channels=(16, 32, 64), blocks=(0, 1, 2), hidden=256, encoder=Size((16, 64, 96), (0, 2, 3), hidden=512)
    ),
    "base": Size(channels=(16, 64, 96), blocks=(0, 2, 3), hidden=512),
    "wide": Size(channels=(64, 128, 192), blocks=(1, 2, 3), hidden=512),
    "colour": Size(channels=(32, 64, 96, 128), blocks=(1, 1, 1, 1), hidden=256),
    "colour-wide": Size(channels=(64, 128, 160, 160), blocks=(1, 2, 1, 1), hidden=256),
}
"""Sizes by name: `tiny` for tests; `small`, `base` and `wide` for likelihoods of pixels; `digits`, the decoder of
`small` with the encoder of `base`, whose posterior is closer to the true one; the `colour` ones for sharp images. Add
your own. A spatial latent lies at quarter resolution, which has to be the last level."""


CONDITIONINGS = ("modulation", "input")
"""How a label enters the networks.

`"modulation"`: it scales and shifts the features in every residual block. `"input"`: it is joined to the input, as one
more channel of an image or of a spatial latent. (A flat latent is joined to the label in any case.)"""


def build_encoder(
    image_shape, latent_shape, label_dim, network="small", conditioning="modulation", posterior="diagonal"
):
    """Builds q(z|x, y).

    Args:
        image_shape: `(height, width, channels)`, divisible by 2 for each level below the first. Values in [0, 1].
        latent_shape: `(dim,)`, or `(height / 4, width / 4, channels)` for a spatial latent.
        label_dim: length of the label's embedding.
        network: a key of `NETWORKS`.
        conditioning: a key of `CONDITIONINGS`.
        posterior: a key of `POSTERIORS`; both are the same for one latent unit.

    Returns:
        A `keras.Model` from `(image, embedding)`, `(batch, *image_shape)` and `(batch, label_dim)`, to
        `(mean, log_variance)`, float32 `(batch, *latent_shape)` each, log-variances in (-10, 10). For a full covariance
        these are the logarithms of its Cholesky factor's squared diagonal, and what lies below it follows: float32
        `(batch, dim, dim)`.

    Raises:
        ValueError: for a size that cannot be halved so often, a latent shape of another kind, or an unknown name.
    """
    size = _checked_size(image_shape, latent_shape, network)
    size = size.encoder or size
    _check_name("conditioning", conditioning, CONDITIONINGS)
    _check_name("posterior", posterior, POSTERIORS if len(latent_shape) == 1 else POSTERIORS[:1])
    image = keras.Input(image_shape, name="image")
    embedding = keras.Input((label_dim,), name="embedding")
    modulation = embedding if conditioning == "modulation" else None
    x = layers.Rescaling(2.0, offset=-1.0, name="centre")(image)
    x = _with_label(x, embedding) if conditioning == "input" else x
    x = _conv(size.channels[0], name="stem")(x)
    for level, (channels, blocks) in enumerate(zip(size.channels, size.blocks, strict=True)):
        if level:
            x = _conv(channels, strides=2, name=f"down{level}")(x)
        for block in range(blocks):
            x = residual_block(x, modulation, name=f"level{level}_block{block}")
    x = layers.Activation("silu", name="activation")(x)
    if len(latent_shape) == 1:
        x = _dense(layers.Flatten(name="flatten")(x), size.hidden, name="hidden")
    mean, log_variance = (_latent_head(latent_shape, name)(x) for name in ("mean", "log_variance"))
    log_variance = soft_bound(log_variance, LOG_VARIANCE_LIMIT)
    outputs = [mean, log_variance]
    if posterior == "full" and latent_shape != (1,):
        (dim,) = latent_shape
        entries = _latent_head((dim * (dim - 1) // 2,), "covariance")(x)
        relative = StrictlyLower(dim, dtype="float32", name="lower")(entries)
        scale = ops.exp(0.5 * log_variance) / math.sqrt(dim)  # or a step of training would swamp narrow units in noise
        outputs.append(ops.expand_dims(scale, -1) * relative)
    return keras.Model([image, embedding], outputs, name="encoder")


def build_decoder(image_shape, latent_shape, label_dim, channels, network="small", conditioning="modulation"):
    """Builds the network of p(x|z, y).

    Args:
        image_shape, latent_shape, label_dim, network, conditioning: as for `build_encoder`.
        channels: what the likelihood asks for, `Likelihood.channels(image_shape)`.

    Returns:
        A `keras.Model` from `(latent, embedding)` to the likelihood's parameters, float32
        `(batch, height, width, channels)`.

    Raises:
        ValueError: as `build_encoder`.
    """
    size = _checked_size(image_shape, latent_shape, network)
    _check_name("conditioning", conditioning, CONDITIONINGS)
    latent = keras.Input(latent_shape, name="latent")
    embedding = keras.Input((label_dim,), name="embedding")
    modulation = None if conditioning == "input" else embedding
    deepest = (*_sides(image_shape, len(size.channels) - 1), size.channels[-1])
    if len(latent_shape) == 1:
        x = layers.Concatenate(name="latent_and_label")([latent, embedding])
        x = _dense(x, size.hidden, name="hidden")
        x = layers.Dense(math.prod(deepest), name="unflatten")(x)
        x = layers.Reshape(deepest, name="reshape")(x)
    else:
        x = _with_label(latent, embedding) if conditioning == "input" else latent
        x = _conv(size.channels[-1], name="stem")(x)
    for level in reversed(range(len(size.channels))):
        for block in range(size.blocks[level]):
            x = residual_block(x, modulation, name=f"level{level}_block{block}")
        if level:
            x = _double(x, size.channels[level - 1], name=f"up{level}")
    x = layers.Activation("silu", name="activation")(x)
    parameters = _conv(channels, kernel_initializer="glorot_uniform", dtype="float32", name="parameters")(x)
    return keras.Model([latent, embedding], parameters, name="decoder")


def residual_block(x, embedding, name):
    """Adds to a feature map what two 3x3 convolutions make of it, normalized and label-modulated in between.

    The second convolution starts at zero, and so the block as the identity.

    Args:
        x: `(batch, height, width, channels)`.
        embedding: of the labels, `(batch, label_dim)`; None to leave the features as they are.
        name: prefix of the layers' names.
    """
    channels = x.shape[-1]
    branch = layers.Activation("silu", name=f"{name}_activation1")(x)
    branch = _conv(channels, name=f"{name}_conv1")(branch)
    branch = layers.GroupNormalization(1, center=False, scale=False, name=f"{name}_norm")(branch)
    if embedding is not None:
        branch = LabelModulation(name=f"{name}_modulation")([branch, embedding])
    branch = layers.Activation("silu", name=f"{name}_activation2")(branch)
    branch = _conv(channels, kernel_initializer="zeros", name=f"{name}_conv2")(branch)
    return layers.Add(name=f"{name}_add")([x, branch])


def _with_label(x, embedding):
    """Features with one more channel, linear in the label's embedding."""
    height, width, _ = x.shape[1:]
    plane = layers.Dense(height * width, name="label")(embedding)
    return layers.Concatenate(name="with_label")([x, layers.Reshape((height, width, 1), name="label_plane")(plane)])


def _conv(channels, strides=1, kernel_initializer="he_normal", **kwargs):
    return layers.Conv2D(channels, 3, strides=strides, padding="same", kernel_initializer=kernel_initializer, **kwargs)


def _double(x, channels, name):
    """Activation, then a 4x4 transposed convolution that doubles the resolution. Every pixel has as many inputs as its
    neighbours, which with 3x3 they do not."""
    x = layers.Activation("silu", name=f"{name}_activation")(x)
    return layers.Conv2DTranspose(channels, 4, strides=2, padding="same", kernel_initializer="he_normal", name=name)(x)


def _latent_head(latent_shape, name):
    """A layer from features to a latent's mean or log-variance, in float32; KL starts near 0."""
    small = keras.initializers.VarianceScaling(0.01)
    if len(latent_shape) == 3:
        return layers.Conv2D(latent_shape[-1], 1, kernel_initializer=small, dtype="float32", name=name)
    return layers.Dense(latent_shape[0], kernel_initializer=small, dtype="float32", name=name)


def _dense(x, units, name):
    x = layers.Dense(units, kernel_initializer="he_normal", name=name)(x)
    return layers.Activation("silu", name=f"{name}_activation")(x)


def _check_name(what, name, names):
    if name not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}. Received: {what}={name!r}")


def _checked_size(image_shape, latent_shape, network):
    size = choose(NETWORKS, network, "network")
    levels = len(size.channels)
    divisor = 2 ** (levels - 1)
    if image_shape[0] % divisor or image_shape[1] % divisor:
        raise ValueError(
            f"Image height and width must be divisible by {divisor} for the network {network!r}. "
            f"Received: image_shape={tuple(image_shape)}"
        )
    spatial = _sides(image_shape, 2)
    if len(latent_shape) != 1 and (tuple(latent_shape[:-1]) != spatial or levels != 3):
        kinds = f"(dim,), or {(*spatial, 'channels')}" if levels == 3 else "(dim,)"
        raise ValueError(
            f"latent_shape must be {kinds} for images of {image_shape[0]}x{image_shape[1]} and the network "
            f"{network!r}. Received: latent_shape={tuple(latent_shape)}"
        )
    return size


def _sides(image_shape, level):
    """Height and width of the features at a level, 0 for full resolution."""
    return image_shape[0] // 2**level, image_shape[1] // 2**level
