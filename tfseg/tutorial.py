"""The network of the article "U-Net Implementation from Scratch using TensorFlow", as its author wrote it.

V. Bhatia 2021, https://medium.com/geekculture/u-net-implementation-from-scratch-using-tensorflow-b4342266e406

It is the reference row of the comparison, so its oddities are kept: batch normalization once per encoder block, held in
inference mode (an affine layer that never sees the batch's statistics), none in the decoder, 3x3 transposed
convolutions, and an extra 3x3 convolution before the head.
"""

import keras
from keras import layers

from tfseg.checks import SegmentationModel

CLASSES = 3  # pet, background, border


def build_tutorial_unet(
    input_shape=(128, 128, 3), filters=32, classes=CLASSES, learn_statistics=False, name="tutorial"
):
    """Builds the article's U-Net.

    Args:
        input_shape: `(height, width, channels)`, height and width divisible by 16. Values in [0, 1].
        filters: channels of the first level; 32 in the article, hence 512 at the bottom.
        classes: output channels.
        learn_statistics: build what the article's code builds today. It calls batch normalization with
            `training=False`, which `fit` overrides since Keras 3, so that it learns like any other.
        name: the model's name.

    Returns:
        A `keras.Model` from images to float32 logits `(batch, height, width, classes)`.
    """
    inputs = x = keras.Input(input_shape, name="image")
    skips = []
    for level, dropout in enumerate((0.0, 0.0, 0.0, 0.3, 0.3)):
        x = _convs(x, filters * 2**level, name=f"encoder{level + 1}")
        x = _normalization(x, learn_statistics, name=f"encoder{level + 1}_norm")
        if dropout:
            x = layers.Dropout(dropout, name=f"encoder{level + 1}_dropout")(x)
        if level < 4:
            skips.append(x)
            x = layers.MaxPooling2D(2, name=f"down{level + 1}_maxpool")(x)

    for level in reversed(range(4)):
        x = layers.Conv2DTranspose(filters * 2**level, 3, strides=2, padding="same", name=f"up{level + 1}_transpose")(x)
        x = layers.Concatenate(name=f"skip{level + 1}")([x, skips[level]])
        x = _convs(x, filters * 2**level, name=f"decoder{level + 1}")

    x = _conv(x, filters, name="head_conv")
    logits = layers.Conv2D(classes, 1, padding="same", dtype="float32", name="logits")(x)
    return SegmentationModel(inputs, logits, name=name)


def _normalization(x, learn_statistics, name):
    """The article's batch normalization: today's, or in inference mode for good, with scale and offset trained."""
    if learn_statistics:
        return layers.BatchNormalization(name=name)(x, training=False)
    layer = layers.BatchNormalization(trainable=False, name=name)
    x = layer(x)
    layer.gamma.trainable = layer.beta.trainable = True
    return x


def _convs(x, filters, name):
    return _conv(_conv(x, filters, name=f"{name}_conv1"), filters, name=f"{name}_conv2")


def _conv(x, filters, name):
    return layers.Conv2D(filters, 3, activation="relu", padding="same", kernel_initializer="he_normal", name=name)(x)
