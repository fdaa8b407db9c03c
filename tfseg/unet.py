"""The U-Net, assembled from any pair of down and up blocks.

References:
    - Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation". This network pads its
      convolutions, so that the mask is as large as the image and skips need no cropping.
"""

import keras
from keras import layers

from tfseg.blocks import DOWN_BLOCKS, UP_BLOCKS, double_conv


def build_unet(
    input_shape=(128, 128, 3),
    classes=1,
    filters=64,
    depth=4,
    down="maxpool",
    up="transpose",
    normalization="batch",
    dropout=0.0,
    name="unet",
):
    """Builds a U-Net that maps an image to per-pixel logits.

    Args:
        input_shape: `(height, width, channels)`; height and width must be divisible by `2**depth`. Values in [0, 1].
        classes: channels of the output: 1 for a binary mask (sigmoid), more for one channel a class (softmax).
        filters: channels of the first level; each level down doubles them.
        depth: how many times the resolution is halved.
        down: a name in `tfseg.blocks.DOWN_BLOCKS`: `"maxpool"`, `"strided"`.
        up: a name in `tfseg.blocks.UP_BLOCKS`: `"transpose"`, `"upsample"`.
        normalization: `"batch"`, `"group"`, `"layer"` or `None`; `"sync_batch"` takes batch statistics over all
            replicas of `tf.distribute`.
        dropout: rate in [0, 1) after the two deepest blocks (the last encoder level and the bottleneck).
        name: the model's name.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to float32 logits `(batch, height, width, classes)`.

    Raises:
        ValueError: for a size that `2**depth` does not divide, a count below 1, or an unknown block or normalization.

    Example:

    >>> model = build_unet((128, 128, 3), filters=16, down="strided", up="upsample")
    >>> model.output_shape
    (None, 128, 128, 1)
    """
    _check(input_shape, classes, filters, depth, dropout)
    down_block, up_block = DOWN_BLOCKS[down], UP_BLOCKS[up]

    inputs = x = keras.Input(input_shape, name="image")
    skips = []
    for level in range(depth):
        rate = dropout if level == depth - 1 else 0.0
        x = double_conv(x, filters * 2**level, normalization, rate, name=f"encoder{level + 1}")
        skips.append(x)
        x = down_block(x, filters * 2**level, normalization, name=f"down{level + 1}")

    x = double_conv(x, filters * 2**depth, normalization, dropout, name="bottleneck")

    for level in reversed(range(depth)):
        x = up_block(x, filters * 2**level, normalization, name=f"up{level + 1}")
        x = layers.Concatenate(name=f"skip{level + 1}")([skips[level], x])
        x = double_conv(x, filters * 2**level, normalization, name=f"decoder{level + 1}")

    logits = layers.Conv2D(classes, 1, kernel_initializer="he_normal", dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=name)


def _check(input_shape, classes, filters, depth, dropout):
    for label, value in (("classes", classes), ("filters", filters), ("depth", depth)):
        if int(value) != value or value < 1:
            raise ValueError(f"{label} must be a whole number of at least 1. Received: {label}={value!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1). Received: dropout={dropout!r}")
    height, width, _ = input_shape
    multiple = 2**depth
    for label, size in (("height", height), ("width", width)):
        if not size or size % multiple:
            raise ValueError(
                f"{label} must be divisible by 2**depth = {multiple}, since the U-Net halves it {depth} times. "
                f"Received: {label}={size!r}"
            )
