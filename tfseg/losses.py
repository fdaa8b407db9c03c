"""Segmentation losses by name, all from logits and all computed in float32 whatever the precision policy.

Logits are `(batch, height, width, channels)`; their channels decide what a target is:

- one channel: masks of 0 and 1 (or anything between), `(batch, height, width)` or with a last axis of 1;
- more, one a class: class ids of either shape, or one-hot masks `(batch, height, width, channels)`.

Other values, such as masks of 0 and 255 or a class id that has no channel, are refused (`tfseg.checks`). Pixels whose
id is `ignore`, or whose one-hot vector is all 0, count for nothing where `ignore` is set.

Each loss is a plain function that returns one value an image, so it can be handed to `model.compile(loss=...)` as is;
`SegmentationLoss("dice", ignore=255)` is the same with an ignore value.

References:
    - Milletari et al. 2016, "V-Net" (the soft Dice loss, with squares in its denominator).
"""

import keras
from keras import ops

from tfseg.checks import require
from tfseg.registry import Registry

LOSSES = Registry("loss")


@LOSSES.register("bce")
@keras.saving.register_keras_serializable("tfseg")
def cross_entropy(y_true, logits, ignore=None):
    """Mean cross-entropy over the pixels of each image, in nats.

    Args:
        y_true: targets; see the module.
        logits: `(batch, height, width, channels)`; one channel means binary.
        ignore: value of the pixels to leave out. An image of nothing else has a loss of 0.

    Returns:
        Float32 `(batch,)`, each at least 0.

    Raises:
        ValueError: for targets of another shape, or with other values.
    """
    truth, logits, counted, problem = _prepare(y_true, logits, ignore)
    kind = "binary" if logits.shape[-1] == 1 else "categorical"
    pixels = getattr(keras.losses, f"{kind}_crossentropy")(truth, logits, from_logits=True)
    if counted is None:
        return ops.mean(pixels, axis=(1, 2)) + problem
    total, count = ops.sum(pixels * counted, axis=(1, 2)), ops.sum(counted, axis=(1, 2))
    return total / ops.maximum(count, 1.0) + problem


@LOSSES.register("dice")
@keras.saving.register_keras_serializable("tfseg")
def soft_dice(y_true, logits, ignore=None):
    """One minus the soft Dice coefficient of each image, averaged over its classes.

    `dice = 2 sum(p y) / (sum(p^2) + sum(y^2))`, with sums over the pixels of one image and one class, and p the sigmoid
    or softmax of the logits. The squares are V-Net's; `keras.losses.dice` has plain sums. With the squares, background
    is pushed down in proportion to p, so that confident mistakes count most. An empty mask gives a loss of 1 and no
    gradient worth the name, never a division by zero.

    Args:
        y_true: targets; see the module.
        logits: `(batch, height, width, channels)`; one channel means binary.
        ignore: value of the pixels to leave out.

    Returns:
        Float32 `(batch,)`, each in [0, 1].

    Raises:
        ValueError: for targets of another shape, or with other values.
    """
    truth, logits, counted, problem = _prepare(y_true, logits, ignore)
    probabilities = ops.sigmoid(logits) if logits.shape[-1] == 1 else ops.softmax(logits)
    if counted is not None:
        truth, probabilities = truth * counted[..., None], probabilities * counted[..., None]
    both = ops.sum(truth * probabilities, axis=(1, 2))
    each = ops.sum(ops.square(truth) + ops.square(probabilities), axis=(1, 2))
    return ops.mean(1 - 2 * both / (each + keras.config.epsilon()), axis=-1) + problem


@LOSSES.register("bce_dice")
@keras.saving.register_keras_serializable("tfseg")
def cross_entropy_plus_dice(y_true, logits, ignore=None):
    """The sum of `cross_entropy` and `soft_dice`, one value an image; arguments as theirs."""
    return cross_entropy(y_true, logits, ignore) + soft_dice(y_true, logits, ignore)


@keras.saving.register_keras_serializable("tfseg")
class SegmentationLoss(keras.losses.Loss):
    """One of `LOSSES` that leaves out the pixels of an ignore value, for `model.compile(loss=...)`.

    Args:
        loss: a name in `LOSSES`.
        ignore: value of the pixels to leave out, in class ids and in masks of 0 and 1; 255 by custom.
        name: the loss's name.

    Example:

    >>> model.compile("adam", SegmentationLoss("bce_dice", ignore=255))
    """

    def __init__(self, loss, ignore=255, name="loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.loss, self.ignore = loss, ignore
        self.function = LOSSES[loss]

    def call(self, y_true, y_pred):
        return self.function(y_true, y_pred, self.ignore)

    def get_config(self):
        return {**super().get_config(), "loss": self.loss, "ignore": self.ignore}


def _prepare(y_true, logits, ignore):
    """Targets and logits in one form.

    Returns:
        `(truth, logits, counted, problem)`: float32 `(batch, height, width, channels)` both; float32
        `(batch, height, width)` of {0, 1}, or None where all pixels count; and what `require` returned.
    """
    y_true = ops.convert_to_tensor(y_true)
    logits = ops.cast(logits, "float32")
    if len(logits.shape) == 3:  # Keras takes away an axis of 1 where the target has none
        logits = logits[..., None]
    channels, shape = logits.shape[-1], tuple(y_true.shape)
    one_hot = channels > 1 and len(shape) == 4 and shape[-1] == channels
    if len(shape) == 4 and shape[-1] == 1:
        y_true = y_true[..., 0]
    if not one_hot and len(y_true.shape) != 3 or not _same_size(shape, logits.shape):
        raise ValueError(
            f"Masks must be (batch, height, width), the same with a last axis of 1, or one-hot with one of the "
            f"model's {channels} channels, as large as its output. Received: masks {shape}, output {logits.shape}"
        )
    if one_hot:
        return _prepare_one_hot(ops.cast(y_true, "float32"), logits, ignore)
    return _prepare_ids(ops.cast(y_true, "float32"), logits, ignore)


def _same_size(shape, others):
    return all(None in pair or pair[0] == pair[1] for pair in zip(shape[:3], others[:3], strict=True))


def _prepare_one_hot(truth, logits, ignore):
    totals = ops.sum(truth, axis=-1)
    right = ops.abs(totals - 1) < 1e-3
    right = right if ignore is None else ops.logical_or(right, totals == 0)
    problem = require(
        ops.logical_and(ops.all(right), ops.min(truth) >= 0),
        "The channels of a one-hot mask must lie in [0, 1] and sum to 1, or to 0 where a pixel is to be ignored.",
        ops.max(totals),
    )
    return truth, logits, None if ignore is None else ops.cast(totals > 0, "float32"), problem


def _prepare_ids(ids, logits, ignore):
    channels, counted = logits.shape[-1], None
    if ignore is not None:
        kept = ids != ignore
        ids, counted = ops.where(kept, ids, 0.0), ops.cast(kept, "float32")
    if channels == 1:
        advice = "divide masks of 0 and 255 by 255; SegmentationLoss(..., ignore=...) leaves a value out."
        problem = _in_range(ids, 1, f"Masks for one output channel must lie in [0, 1]; {advice}")
        return ids[..., None], logits, counted, problem
    rule = f"Class ids must be whole numbers from 0 to {channels - 1}, since the model has {channels} output channels"
    problem = _in_range(ids, channels - 1, f"{rule}; SegmentationLoss(..., ignore=...) leaves a value out.")
    fractions = ids - ops.floor(ids)
    problem += require(ops.all(fractions == 0), f"{rule}.", ops.max(fractions))
    return ops.one_hot(ops.cast(ids, "int32"), channels, dtype="float32"), logits, counted, problem


def _in_range(values, most, message):
    low, high = ops.min(values), ops.max(values)
    return require(ops.logical_and(low >= 0, high <= most), message, ops.where(low < 0, low, high))
