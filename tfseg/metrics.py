"""Segmentation scores, counted exactly in NumPy, and the Keras metric that follows them during training.

Dataset-level scores pool the pixels of all images before dividing, so large objects weigh more; the per-image score
averages one IoU an image. A ratio whose denominator is 0 (nothing there and nothing predicted) counts as 1.
"""

import keras
import numpy as np
from keras import ops

from tfseg.data import TARGETS

PET_CLASS, BACKGROUND_CLASS = 0, 1  # of the "trimap" target, whose class 2 is the border


def foreground_target(policy):
    """The binary target under which a model trained on `policy` is scored: `"trimap"` merges pet and border."""
    return "foreground" if policy == "trimap" else policy


def foreground_mask(probabilities, target="foreground"):
    """Turns class probabilities into a binary mask.

    Args:
        probabilities: `(..., 1)` sigmoid outputs (foreground where above 0.5) or `(..., 3)` softmax outputs of the
            classes pet, background, border (the class with the largest probability decides).
        target: what counts as foreground where there are three classes: `"foreground"` (pet and border) or `"pet"`.

    Returns:
        Boolean array of shape `(...)`.
    """
    if probabilities.shape[-1] == 1:
        return probabilities[..., 0] > 0.5
    classes = np.argmax(probabilities, axis=-1)
    return classes == PET_CLASS if target == "pet" else classes != BACKGROUND_CLASS


def _ratio(numerator, denominator):
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), 1.0)


class ForegroundScores:
    """Scores of binary masks over a dataset, fed image by image.

    Example:

    >>> scores = ForegroundScores()
    >>> scores.update(truth=np.array([[1, 1, 0, 0]]), prediction=np.array([[1, 0, 1, 0]]))
    >>> scores.result()["iou"]
    0.333...
    """

    def __init__(self):
        self._counts = []  # one row an image: tp, fp, fn, tn, then tp, fp, fn outside the border ring

    def update(self, truth, prediction, border=None):
        """Adds one image.

        Args:
            truth, prediction: `(h, w)`, true where foreground.
            border: `(h, w)`, true on the border ring, whose pixels the border-excluded score leaves out.
        """
        truth, prediction = np.asarray(truth, bool), np.asarray(prediction, bool)
        inside = np.ones_like(truth) if border is None else ~np.asarray(border, bool)
        hit, false, miss = truth & prediction, ~truth & prediction, truth & ~prediction
        pixels = [hit, false, miss, ~truth & ~prediction, hit & inside, false & inside, miss & inside]
        self._counts.append([np.count_nonzero(p) for p in pixels])

    def per_image_iou(self):
        """IoU of each image in the order they were added, float64 `(images,)` in [0, 1]."""
        tp, fp, fn = np.array(self._counts, float).T[:3]
        return _ratio(tp, tp + fp + fn)

    def result(self):
        """All scores as a dictionary of floats in [0, 1]: `iou`, `dice`, `per_image_iou`, `pixel_accuracy`,
        `iou_border_excluded`."""
        tp, fp, fn, tn, inner_tp, inner_fp, inner_fn = np.sum(self._counts, axis=0, dtype=np.int64)
        scores = {
            "iou": _ratio(tp, tp + fp + fn),
            "dice": _ratio(2 * tp, 2 * tp + fp + fn),
            "per_image_iou": self.per_image_iou().mean(),
            "pixel_accuracy": _ratio(tp + tn, tp + fp + fn + tn),
            "iou_border_excluded": _ratio(inner_tp, inner_tp + inner_fp + inner_fn),
        }
        return {name: float(value) for name, value in scores.items()}


class ClassScores:
    """Scores of multi-class label maps from one confusion matrix over a dataset."""

    def __init__(self, class_names=("pet", "background", "border")):
        self.class_names = class_names
        self.confusion = np.zeros((len(class_names),) * 2, np.int64)  # rows: truth, columns: prediction

    def update(self, truth, prediction):
        """Adds one image: class indices `(h, w)` both."""
        classes = len(self.class_names)
        pairs = np.asarray(truth, np.int64).ravel() * classes + np.asarray(prediction, np.int64).ravel()
        self.confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    def result(self):
        """`per_class_iou` (a dictionary by class), `mean_class_iou` and `three_class_accuracy`, in [0, 1]."""
        hits = np.diag(self.confusion)
        iou = _ratio(hits, self.confusion.sum(0) + self.confusion.sum(1) - hits)
        return {
            "per_class_iou": {name: float(value) for name, value in zip(self.class_names, iou, strict=True)},
            "mean_class_iou": float(iou.mean()),
            "three_class_accuracy": float(_ratio(hits.sum(), self.confusion.sum())),
        }


@keras.saving.register_keras_serializable("tfseg")
class ForegroundIoU(keras.metrics.Metric):
    """Dataset-level foreground IoU from logits, for `model.compile(metrics=...)`.

    Args:
        policy: the target policy that the model is trained on, a name in `tfseg.data.TARGETS`.
        target: what counts as foreground where `policy` is `"trimap"`, in truth and prediction: `"foreground"` (pet and
            border) or `"pet"`.
        name: the metric's name.
    """

    def __init__(self, policy="foreground", target="foreground", name="iou", **kwargs):
        super().__init__(name=name, **kwargs)
        self.policy, self.target = policy, target
        self.intersection = self.add_weight(shape=(), initializer="zeros", dtype="float32", name="intersection")
        self.union = self.add_weight(shape=(), initializer="zeros", dtype="float32", name="union")

    def update_state(self, y_true, y_pred, sample_weight=None):
        if TARGETS[self.policy] == 1:
            truth, prediction = ops.cast(y_true, "bool"), y_pred > 0
        else:
            truth = self._is_foreground(ops.squeeze(ops.cast(y_true, "int32"), -1))
            prediction = self._is_foreground(ops.argmax(y_pred, axis=-1))
        both, either = ops.logical_and(truth, prediction), ops.logical_or(truth, prediction)
        self.intersection.assign_add(ops.sum(ops.cast(both, "float32")))
        self.union.assign_add(ops.sum(ops.cast(either, "float32")))

    def _is_foreground(self, classes):
        return ops.equal(classes, PET_CLASS) if self.target == "pet" else ops.not_equal(classes, BACKGROUND_CLASS)

    def result(self):
        return ops.where(self.union > 0, ops.divide_no_nan(self.intersection, self.union), 1.0)

    def get_config(self):
        return {**super().get_config(), "policy": self.policy, "target": self.target}
