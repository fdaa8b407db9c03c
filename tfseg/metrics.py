"""Segmentation scores, counted exactly in NumPy, and the Keras metric that follows them during training.

Dataset-level scores pool the pixels of all images before dividing, so large objects weigh more; the per-image score
averages one IoU an image. Of a binary mask, a ratio whose denominator is 0 (nothing there and nothing predicted) counts
as 1; of several classes, the mean leaves it out.
"""

import keras
import numpy as np
from keras import ops

from tfseg.targets import TARGETS

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


def class_ids(probabilities):
    """Turns class probabilities `(..., channels)` into class ids `(...)`, uint8: of one channel, 1 where above 0.5."""
    if probabilities.shape[-1] == 1:
        return (probabilities[..., 0] > 0.5).astype(np.uint8)
    return np.argmax(probabilities, axis=-1).astype(np.uint8)


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
    """Scores of multi-class label maps from one confusion matrix over a dataset.

    Attributes:
        confusion: int64 `(classes, classes)`, pixels: rows are the truth, columns the prediction.

    Args:
        class_names: one a class id.
        ignore: class id of pixels that don't count, or None.
    """

    def __init__(self, class_names=("pet", "background", "border"), ignore=None):
        self.class_names, self.ignore = tuple(class_names), ignore
        self.confusion = np.zeros((len(class_names),) * 2, np.int64)
        self._image_ious = []

    def update(self, truth, prediction):
        """Adds one image: class ids `(h, w)` both.

        Raises:
            ValueError: for an id that is no class, and in the truth not `ignore` either.
        """
        truth, prediction = np.asarray(truth, np.int64).ravel(), np.asarray(prediction, np.int64).ravel()
        if self.ignore is not None:
            truth, prediction = truth[truth != self.ignore], prediction[truth != self.ignore]
        classes = len(self.class_names)
        for ids in (truth, prediction):
            if ids.size and not 0 <= ids.min() <= ids.max() < classes:
                found = ids.min() if ids.min() < 0 else ids.max()
                raise ValueError(f"Class ids must lie in [0, {classes - 1}]. Received: {found}")
        confusion = np.bincount(truth * classes + prediction, minlength=classes**2).reshape(classes, classes)
        self.confusion += confusion
        self._image_ious.append(_mean_iou(confusion))

    def per_image_iou(self):
        """Mean over the classes of each image, in the order they were added, float64 `(images,)` in [0, 1]."""
        return np.array(self._image_ious)

    def result(self):
        """Scores in [0, 1]: `per_class_iou` and `per_class_dice`, dictionaries by class; `mean_class_iou` and
        `mean_class_dice`; and `pixel_accuracy`.

        A class that neither occurs nor is predicted has None, and the means leave it out.
        """
        hits, both = np.diag(self.confusion), self.confusion.sum(0) + self.confusion.sum(1)
        iou, dice = _ratio(hits, both - hits), _ratio(2 * hits, both)
        return {
            "per_class_iou": self._by_class(iou, both),
            "per_class_dice": self._by_class(dice, both),
            "mean_class_iou": _mean_iou(self.confusion),
            "mean_class_dice": float(dice[both > 0].mean()) if both.any() else 1.0,
            "pixel_accuracy": float(_ratio(hits.sum(), self.confusion.sum())),
        }

    def _by_class(self, values, both):
        pairs = zip(self.class_names, values, both, strict=True)
        return {name: float(value) if occurs else None for name, value, occurs in pairs}


def _mean_iou(confusion):
    """Mean IoU of the classes that occur in truth or prediction; 1 where none does."""
    hits, both = np.diag(confusion), confusion.sum(0) + confusion.sum(1)
    return float(_ratio(hits, both - hits)[both > 0].mean()) if both.any() else 1.0


@keras.saving.register_keras_serializable("tfseg")
class ForegroundIoU(keras.metrics.Metric):
    """Dataset-level foreground IoU from logits, for `model.compile(metrics=...)`.

    Args:
        policy: the target policy that the model is trained on, a name in `tfseg.targets.TARGETS`.
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
        if len(y_true.shape) == len(y_pred.shape) - 1:
            y_true = ops.expand_dims(y_true, -1)
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


@keras.saving.register_keras_serializable("tfseg")
class ClassIoU(keras.metrics.Metric):
    """Dataset-level IoU from logits and class ids, for `model.compile(metrics=...)`.

    Of two classes in one channel, that of the foreground (id 1); of more, the mean over the classes that occur in truth
    or prediction.

    Args:
        classes: number of classes, at least 2.
        ignore: class id of pixels that don't count, or None.
        name: the metric's name.
    """

    def __init__(self, classes, ignore=255, name="iou", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes, self.ignore = classes, ignore
        self.confusion = self.add_weight(shape=(classes,) * 2, initializer="zeros", dtype="float32", name="confusion")

    def update_state(self, y_true, y_pred, sample_weight=None):
        channels = y_pred.shape[-1]
        prediction = ops.cast(y_pred[..., 0] > 0, "int32") if channels == 1 else ops.argmax(y_pred, axis=-1)
        truth = self._ids(y_true, channels)
        both = ops.one_hot(ops.reshape(truth, (-1,)), self.classes, dtype="float32")  # all 0 where ignored
        found = ops.one_hot(ops.reshape(prediction, (-1,)), self.classes, dtype="float32")
        self.confusion.assign_add(ops.matmul(ops.transpose(both), found))

    def _ids(self, y_true, channels):
        if channels > 1 and len(y_true.shape) == 4 and y_true.shape[-1] == channels:
            ids, outside = ops.argmax(y_true, axis=-1), ops.max(y_true, axis=-1) <= 0
        else:
            ids = ops.cast(y_true[..., 0] if len(y_true.shape) == 4 else y_true, "int32")
            outside = ops.zeros_like(ids, "bool") if self.ignore is None else ops.equal(ids, self.ignore)
        return ops.where(outside, -1, ops.cast(ids, "int32"))

    def result(self):
        hits = ops.diagonal(self.confusion)
        either = ops.sum(self.confusion, axis=0) + ops.sum(self.confusion, axis=1) - hits
        ious = ops.where(either > 0, ops.divide_no_nan(hits, either), 0.0)
        if self.classes == 2:
            return ops.where(either[1] > 0, ious[1], 1.0)
        occurring = ops.sum(ops.cast(either > 0, "float32"))
        return ops.where(occurring > 0, ops.divide_no_nan(ops.sum(ious), occurring), 1.0)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes, "ignore": self.ignore}
