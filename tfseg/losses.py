"""Segmentation losses by name, all from logits and all computed in float32 whatever the precision policy.

Binary targets are `(batch, height, width, 1)` in {0, 1} against logits of one channel; multi-class targets are class
indices `(batch, height, width, 1)` against logits of one channel a class. The number of logit channels decides.
Each loss is a plain function that returns one value an image, so it can be handed to `model.compile(loss=...)` as is.

References:
    - Milletari et al. 2016, "V-Net" (the soft Dice loss, with squares in its denominator).
"""

import keras
from keras import ops

from tfseg.registry import Registry

LOSSES = Registry("loss")


@LOSSES.register("bce")
@keras.saving.register_keras_serializable("tfseg")
def cross_entropy(y_true, logits):
    """Mean cross-entropy over the pixels of each image, in nats.

    Args:
        y_true: targets, `(batch, height, width, 1)`.
        logits: `(batch, height, width, channels)`; one channel means binary.

    Returns:
        Float32 `(batch,)`, each at least 0.
    """
    logits = ops.cast(logits, "float32")
    if logits.shape[-1] == 1:
        pixels = keras.losses.binary_crossentropy(ops.cast(y_true, "float32"), logits, from_logits=True)
    else:
        classes = ops.cast(ops.squeeze(y_true, -1), "int32")
        pixels = keras.losses.sparse_categorical_crossentropy(classes, logits, from_logits=True)
    return ops.mean(pixels, axis=(1, 2))


@LOSSES.register("dice")
@keras.saving.register_keras_serializable("tfseg")
def soft_dice(y_true, logits):
    """One minus the soft Dice coefficient of each image, averaged over its classes.

    `dice = 2 sum(p y) / (sum(p^2) + sum(y^2))`, with sums over the pixels of one image and one class, and p the sigmoid
    or softmax of the logits. The squares are V-Net's; `keras.losses.dice` has plain sums. With the squares, background
    is pushed down in proportion to p, so that confident mistakes count most. An empty mask gives a loss of 1 and no
    gradient worth the name, never a division by zero.

    Args:
        y_true: targets, `(batch, height, width, 1)`.
        logits: `(batch, height, width, channels)`; one channel means binary.

    Returns:
        Float32 `(batch,)`, each in [0, 1].
    """
    logits = ops.cast(logits, "float32")
    if logits.shape[-1] == 1:
        y_true, probabilities = ops.cast(y_true, "float32"), ops.sigmoid(logits)
    else:
        classes = ops.cast(ops.squeeze(y_true, -1), "int32")
        y_true, probabilities = ops.one_hot(classes, logits.shape[-1], dtype="float32"), ops.softmax(logits)
    both = ops.sum(y_true * probabilities, axis=(1, 2))
    each = ops.sum(ops.square(y_true) + ops.square(probabilities), axis=(1, 2))
    return ops.mean(1 - 2 * both / (each + keras.config.epsilon()), axis=-1)


@LOSSES.register("bce_dice")
@keras.saving.register_keras_serializable("tfseg")
def cross_entropy_plus_dice(y_true, logits):
    """The sum of `cross_entropy` and `soft_dice`, one value an image; arguments as theirs."""
    return cross_entropy(y_true, logits) + soft_dice(y_true, logits)
