"""The U-Net, assembled from any pair of down and up blocks.

References:
    - Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation". This network pads its
      convolutions, so that the mask is as large as the image and skips need no cropping.
"""

import keras
from keras import layers

from tfseg.blocks import DOWN_BLOCKS, UP_BLOCKS, double_conv
from tfseg.checks import SegmentationModel
from tfseg.encoders import ENCODER_DEPTH, encode


def build_unet(
    input_shape=(128, 128, 3),
    classes=1,
    filters=64,
    depth=None,
    down="maxpool",
    up="transpose",
    normalization="batch",
    dropout=0.0,
    encoder=None,
    encoder_weights=None,
    encoder_scale=1,
    fixed_statistics=False,
    name="unet",
):
    """Builds a U-Net that maps an image to per-pixel logits.

    Args:
        input_shape: `(height, width, channels)`; height and width must be divisible by `2**depth`. Values in [0, 1].
            None for height and width takes images of any divisible size; `tfseg.predict.segment` and
            `tfseg.export.export` pad those of every other.
        classes: channels of the output: 1 for a binary mask (sigmoid), more for one channel a class (softmax).
        filters: channels of the first level; each level down doubles them.
        depth: how many times the resolution is halved: 4 where nothing is said, and with an `encoder` as often as it
            does, or fewer times.
        down: a name in `tfseg.blocks.DOWN_BLOCKS`: `"maxpool"`, `"strided"`; an `encoder` takes its place.
        up: a name in `tfseg.blocks.UP_BLOCKS`: `"transpose"`, `"upsample"`.
        normalization: `"batch"`, `"group"`, `"layer"` or `None`; `"sync_batch"` takes batch statistics over all
            replicas of `tf.distribute`. An `encoder` has its own, synchronized likewise.
        dropout: rate in [0, 1) after the two deepest blocks (the last encoder level and the bottleneck), and with an
            `encoder` after its last feature map.
        encoder: a ready-made way down instead of double convolutions: `"efficientnet-lite0"` or the name of a
            `keras.applications` backbone, for RGB; see `tfseg.encoders.encode`.
        encoder_weights: `None` for random ones, `"imagenet"`, or the path of a file; likewise.
        encoder_scale: 2 shows the encoder the image at twice its size, resized bilinearly. ImageNet's weights know
            objects at 224 pixels; a small image costs four times as much then, and is segmented better. The encoder
            halves the resolution one time fewer than it would.
        fixed_statistics: keep the mean and variance of the encoder's batch normalization as they are; likewise.
        name: the model's name.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to float32 logits `(batch, height, width, classes)`.

    Raises:
        ValueError: for a size that `2**depth` does not divide, a count below 1, an unknown block, normalization,
            encoder or scale, and weights that can't be had.

    Example:

    >>> model = build_unet((128, 128, 3), filters=16, down="strided", up="upsample")
    >>> model.output_shape
    (None, 128, 128, 1)
    >>> model = build_unet((128, 128, 3), filters=16, encoder="efficientnet-lite0", encoder_weights="imagenet")
    """
    if depth is None:
        depth = 4 if encoder is None else ENCODER_DEPTH + 1 - encoder_scale
    _check(input_shape, classes, filters, depth, dropout, encoder_scale)
    if encoder is None and (encoder_weights is not None or encoder_scale != 1 or fixed_statistics):
        raise ValueError("encoder_weights, encoder_scale and fixed_statistics need an encoder. Received: encoder=None")
    down_block, up_block = DOWN_BLOCKS[down], UP_BLOCKS[up]

    inputs = keras.Input(input_shape, name="image")
    if encoder is None:
        skips, x = _way_down(inputs, filters, depth, down_block, normalization, dropout)
    else:
        synchronized = normalization == "sync_batch"
        features = encode(inputs, encoder, encoder_weights, fixed_statistics, synchronized, encoder_scale)
        if encoder_scale == 1:  # its first feature map has half the image's size
            features = [double_conv(inputs, filters, normalization, name="detail"), *features]
        skips, x = _way_down_of(features, depth, dropout)

    for level in reversed(range(depth)):
        x = up_block(x, filters * 2**level, normalization, name=f"up{level + 1}")
        if skips[level] is not None:
            x = layers.Concatenate(name=f"skip{level + 1}")([skips[level], x])
        x = double_conv(x, filters * 2**level, normalization, name=f"decoder{level + 1}")

    logits = layers.Conv2D(classes, 1, kernel_initializer="he_normal", dtype="float32", name="logits")(x)
    return SegmentationModel(inputs, logits, name=name)


def _way_down(x, filters, depth, down_block, normalization, dropout):
    """Returns the skips, finest first, and the bottleneck."""
    skips = []
    for level in range(depth):
        rate = dropout if level == depth - 1 else 0.0
        x = double_conv(x, filters * 2**level, normalization, rate, name=f"encoder{level + 1}")
        skips.append(x)
        x = down_block(x, filters * 2**level, normalization, name=f"down{level + 1}")
    return skips, double_conv(x, filters * 2**depth, normalization, dropout, name="bottleneck")


def _way_down_of(features, depth, dropout):
    """As `_way_down`, from feature maps; the first has the image's size."""
    if len(features) <= depth or features[depth] is None:
        raise ValueError(f"depth must be a number of halvings that the encoder does. Received: depth={depth}")
    *skips, x = features[: depth + 1]
    if dropout:
        x = layers.Dropout(dropout, name="bottleneck_dropout")(x)
    return skips, x


def _check(input_shape, classes, filters, depth, dropout, encoder_scale):
    for label, value in (("classes", classes), ("filters", filters), ("depth", depth)):
        if int(value) != value or value < 1:
            raise ValueError(f"{label} must be a whole number of at least 1. Received: {label}={value!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1). Received: dropout={dropout!r}")
    if encoder_scale not in (1, 2):
        raise ValueError(f"encoder_scale must be 1 or 2. Received: encoder_scale={encoder_scale!r}")
    height, width, _ = input_shape
    if (height is None) != (width is None):
        raise ValueError(f"height and width must both be known, or neither. Received: input_shape={input_shape}")
    multiple = 2**depth
    for label, size in (("height", height), ("width", width)):
        if size is not None and (size < 1 or size % multiple):
            raise ValueError(
                f"{label} must be divisible by 2**depth = {multiple}, since the U-Net halves it {depth} times. "
                f"Received: {label}={size!r}"
            )
