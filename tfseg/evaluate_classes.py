"""Scores a model on examples whose masks hold class ids; see `tfseg.evaluate` for trimaps."""

import numpy as np
import tensorflow as tf

from tfseg.classes import IGNORE
from tfseg.data import resize_example
from tfseg.evaluate import Evaluation, positions_shown, predicted
from tfseg.metrics import ClassScores, ForegroundScores, class_ids
from tfseg.targets import IDS, checked_examples


class _Scores:
    """Scores of one resolution: those of the foreground where there are two classes, else means over classes."""

    def __init__(self, classes):
        self.classes = ClassScores(classes.names, IGNORE)
        self.foreground = ForegroundScores() if len(classes.names) == 2 else None

    def update(self, truth, prediction):
        self.classes.update(truth, prediction)
        if self.foreground:
            kept = truth != IGNORE
            self.foreground.update(truth[kept] == 1, prediction[kept] == 1)

    def per_image_iou(self):
        return (self.foreground or self.classes).per_image_iou()

    def result(self):
        classes = self.classes.result()
        if self.foreground:
            main = self.foreground.result()
            del main["iou_border_excluded"]  # there is no border here
        else:
            main = {"iou": classes["mean_class_iou"], "dice": classes["mean_class_dice"]}
            main["per_image_iou"] = float(self.per_image_iou().mean())
        return {**main, **classes, "confusion": self.classes.confusion.tolist()}


def evaluate_classes(model, examples, size, classes, flip=False, batch_size=32, pictures=True):
    """Scores a model on every example of a dataset.

    Args:
        model: maps float32 images `(batch, size, size, 3)` in [0, 1] to logits of `classes.channels` channels.
        examples: `tf.data.Dataset` of examples (`image`, `segmentation_mask` of class ids), in a fixed order.
        size: the model's resolution, in pixels.
        classes: a `tfseg.classes.Classes`.
        flip: average the predictions of each image and its mirror image.
        batch_size: images predicted at a time.
        pictures: also return images, truths and predictions, for which the dataset is read once more.

    Returns:
        A `tfseg.evaluate.Evaluation`. Its `scores` are those of `ClassScores.result`; `confusion`, pixels, rows the
        truth and columns the prediction; `iou`, `dice`, `per_image_iou`, `pixel_accuracy`; and `iou_native`, the IoU at
        the photos' own resolution. IoU and Dice are the foreground's where there are two classes, else the means over
        the classes that occur in truth or prediction. Truths and predictions are uint8 class ids `(size, size)`.
    """
    scores, native = _Scores(classes), _Scores(classes)
    for _, (_, truth, full), probability in predicted(model, examples, size, IDS, flip, batch_size):
        scores.update(truth[..., 0], class_ids(probability))
        native.update(full[..., 0], class_ids(tf.image.resize(probability, full.shape[:2]).numpy()))
    result = {**scores.result(), "iou_native": native.result()["iou"]}
    evaluation = Evaluation(result, scores.per_image_iou(), {}, {}, {})
    if pictures:
        shown = positions_shown(evaluation.ious, batch_size)
        for n, (image, truth, _), probability in predicted(model, examples, size, IDS, flip, batch_size, shown):
            evaluation.images[n], evaluation.truths[n] = image, truth[..., 0]
            evaluation.predictions[n] = class_ids(probability)
    return evaluation


def trivial_class_scores(examples, size, classes):
    """Scores of the predictors that need no model: one class everywhere.

    Args: as for `evaluate_classes`.

    Returns:
        `{"all_foreground": {...}, "all_background": {...}}` for two classes, else `{"all_<class>": {...}}` of the class
        with the most pixels.
    """
    resized = checked_examples(examples, IDS).map(lambda e: resize_example(e, size)[1][..., 0])
    counts = sum(np.bincount(truth.ravel(), minlength=256) for truth in resized.as_numpy_iterator())
    counts = counts[: len(classes.names)]
    chosen = {f"all_{classes.names[counts.argmax()]}": counts.argmax()}
    if len(classes.names) == 2:
        chosen = {"all_foreground": 1, "all_background": 0}
    result = {}
    for name, number in chosen.items():
        scores = _Scores(classes)
        for truth in resized.as_numpy_iterator():
            scores.update(truth, np.full_like(truth, number))
        result[name] = {key: value for key, value in scores.result().items() if isinstance(value, float)}
    return result
