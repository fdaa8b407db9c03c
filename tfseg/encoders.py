"""Ways down that can start from ImageNet's weights: `ENCODERS`, and every backbone in `keras.applications`.

An encoder is a function from an image in [0, 1] to its feature maps, one each time the resolution is halved. It brings
the preprocessing that its weights expect. All of its layers have names that begin with `encoder_`, so that an optimizer
can give them a rate of their own (`tfseg.optimizers.RatedAdamW`).
"""

import inspect

import keras
import numpy as np
from keras import layers

from tfseg.blocks import enlarge
from tfseg.efficientnet import efficientnet_lite0
from tfseg.normalization import BatchNormalization
from tfseg.registry import Registry

PREFIX = "encoder_"
"""What the names of an encoder's layers begin with."""

ENCODER_DEPTH = 5
"""How many times the known encoders halve the resolution."""

ENCODERS = Registry("encoder")
ENCODERS.register("efficientnet-lite0")(efficientnet_lite0)

BACKBONES = tuple(name for name, entry in vars(keras.applications).items() if inspect.isfunction(entry))


def encode(image, encoder, weights=None, fixed_statistics=False, synchronized=False, scale=1):
    """Applies an encoder.

    Args:
        image: Keras tensor `(batch, height, width, 3)` in [0, 1], RGB.
        encoder: a name in `ENCODERS`, or of a function in `keras.applications` (`"MobileNetV2"`).
        weights: `None` for random ones, `"imagenet"`, or the path of a file that has them: a checkpoint of PyTorch for
            `efficientnet-lite0`, else a `.weights.h5` of the backbone without its top.
        fixed_statistics: keep the batch normalization's mean and variance as they are in the weights, and train scale
            and offset alone: for batches that are too small to estimate them.
        synchronized: take batch statistics over all replicas of `tf.distribute`.
        scale: 1, or 2 to show the encoder the image at twice its size, resized bilinearly.

    Returns:
        List of feature maps; the first has half the size that the encoder sees. `None` for a resolution that it skips.

    Raises:
        ValueError: for an unknown encoder, an image of other than three channels, and weights that can't be had.
        OSError: for a checkpoint that is missing.
    """
    if image.shape[-1] != 3:
        raise ValueError(f"an encoder takes images of 3 channels, RGB. Received: {image.shape[-1]}")
    if scale == 2:
        image = enlarge(image, f"{PREFIX}image", dtype="float32")
    if encoder in ENCODERS:
        features = ENCODERS[encoder](image, weights)
    elif encoder in BACKBONES:
        features = _backbone(image, encoder, weights)
    else:
        known = ", ".join([*ENCODERS, *BACKBONES])
        raise ValueError(f"Unknown encoder. Choose one of: {known}. Received: {encoder!r}")
    for layer in keras.Model(image, features[-1]).layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.synchronized = synchronized
            if fixed_statistics:
                layer.trainable = False  # Keras then uses the moving statistics in training, too
                layer.gamma.trainable = layer.beta.trainable = True
    return features


def _backbone(image, name, weights):
    """Feature maps of a `keras.applications` backbone, its layers copied under names that begin with `PREFIX`."""
    build = getattr(keras.applications, name)
    if None in image.shape[1:]:
        raise ValueError(f"{name} needs an image of known size. Received: {image.shape[1:]}")
    try:
        original = build(include_top=False, weights=weights, input_shape=image.shape[1:])
    except Exception as error:  # of the download, of the file, of a size that it does not take
        problem = str(error).splitlines()[0]
        raise ValueError(
            f"{name} can't be built ({problem}). Received: weights={weights!r}, input {image.shape[1:]}. "
            "Weights also come from a file (its path), or are random (None)"
        ) from error
    scaled = _preprocessing(image, inspect.getmodule(build).preprocess_input)
    copy = keras.models.clone_model(original, input_tensors=scaled, clone_function=_renamed)
    copy.set_weights(original.get_weights())
    by_size = {layer.output.shape[1:3]: layer.output for layer in copy.layers if hasattr(layer, "output")}
    height, width = image.shape[1:3]
    features = [by_size.get((height / 2**level, width / 2**level)) for level in range(1, ENCODER_DEPTH + 1)]
    if features[-1] is None or features[-1].shape[1:3] != original.output_shape[1:3]:
        raise ValueError(
            f"{name} does not halve {height} x {width} pixels {ENCODER_DEPTH} times, as a U-Net has to; choose another "
            "encoder or size"
        )
    return features


def _renamed(operation):
    if not isinstance(operation, layers.Layer):
        return operation
    kind = BatchNormalization if type(operation) is layers.BatchNormalization else type(operation)
    return kind.from_config({**operation.get_config(), "name": f"{PREFIX}{operation.name}"})


def _preprocessing(image, preprocess):
    """From [0, 1] to what a backbone expects: affine in a pixel's channels, hence a fixed 1x1 convolution."""
    colours = np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype("float32") * 255  # black, red, green, blue
    black, *primaries = preprocess(colours.reshape(4, 1, 1, 3)).reshape(4, 3)
    layer = layers.Conv2D(3, 1, trainable=False, dtype="float32", name=f"{PREFIX}preprocessing")
    scaled = layer(image)
    layer.set_weights([(np.stack(primaries) - black)[None, None], black])
    return scaled
