"""Scores a model on TFDS examples: at its own resolution, at each photo's, and beside the trivial predictors."""

import sys
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfseg.data import PARALLEL_CALLS, resize_example
from tfseg.metrics import ClassScores, ForegroundScores, foreground_mask, foreground_target
from tfseg.targets import BORDER, IDS, checked_examples, target_from_trimap

EVERY = range(sys.maxsize)


def predict_probabilities(model, images, flip=False):
    """Class probabilities of a batch of images.

    Args:
        model: maps images to logits.
        images: float32 `(batch, size, size, 3)` in [0, 1].
        flip: also predict the mirrored images and average (test-time augmentation).

    Returns:
        Float32 NumPy `(batch, size, size, channels)` in [0, 1]: sigmoid for one channel, softmax for more.
    """
    logits = ops.cast(model.predict_on_batch(images), "float32")
    activation = ops.sigmoid if logits.shape[-1] == 1 else ops.softmax
    probabilities = keras.ops.convert_to_numpy(activation(logits))
    if flip:
        mirrored = predict_probabilities(model, images[:, :, ::-1])
        probabilities = (probabilities + mirrored[:, :, ::-1]) / 2
    return probabilities


@dataclass
class Evaluation:
    """What `evaluate` returns.

    Attributes:
        scores: dictionary of floats in [0, 1]; see `evaluate`.
        ious: float64 `(n,)`, IoU of each image at the model's resolution, in the order of the dataset.
        images, truths, predictions: dictionaries by position in the dataset: uint8 `(size, size, 3)`, what the model
            saw, and bool `(size, size)`, foreground. They hold all images where these are one batch, else those with
            the highest, the median and the lowest IoU, so that memory does not grow with the dataset.
    """

    scores: dict
    ious: np.ndarray
    images: dict
    truths: dict
    predictions: dict


def evaluate(model, examples, size, policy, flip=False, target=None, batch_size=32, pictures=True):
    """Scores a model on every example of a dataset.

    Args:
        model: maps float32 images `(batch, size, size, 3)` in [0, 1] to logits.
        examples: `tf.data.Dataset` of TFDS examples (`image`, `segmentation_mask`), in a fixed order.
        size: the model's resolution, in pixels.
        policy: the target policy that the model was trained on. Under `"trimap"`, the three-class scores are added.
        flip: average the predictions of each image and its mirror image.
        target: what the binary scores take for foreground where `policy` is `"trimap"`: `"foreground"` (pet and border
            merged, the default) or `"pet"`.
        batch_size: images predicted at a time.
        pictures: also return images, truths and predictions, for which the dataset is read once more.

    Returns:
        An `Evaluation` whose `scores` are those of `ForegroundScores.result`, `iou_native` (dataset-level IoU at the
        photos' own resolution, probabilities resized bilinear), and under `"trimap"` `per_class_iou`, `mean_class_iou`
        and `three_class_accuracy`; see `ClassScores.result`.

    Raises:
        ValueError: for the policy `"ids"`, which is scored by `tfseg.evaluate_classes`.
    """
    foreground = _foreground(policy)
    target = target or foreground
    scores, native, classes = ForegroundScores(), ForegroundScores(), ClassScores()
    for _, (_, trimap, full), probability in predicted(model, examples, size, policy, flip, batch_size):
        scores.update(_truth(trimap, target), foreground_mask(probability, target), border=trimap[..., 0] == BORDER)
        resized = tf.image.resize(probability, full.shape[:2]).numpy()
        native.update(_truth(full, target), foreground_mask(resized, target))
        if policy == "trimap":
            classes.update(trimap[..., 0] - 1, np.argmax(probability, axis=-1))

    result = {**scores.result(), "iou_native": native.result()["iou"]}
    if policy == "trimap":
        three = classes.result()
        result |= {name: three[name] for name in ("per_class_iou", "mean_class_iou")}
        result["three_class_accuracy"] = three["pixel_accuracy"]
    evaluation = Evaluation(result, scores.per_image_iou(), {}, {}, {})
    if pictures:
        shown = positions_shown(evaluation.ious, batch_size)
        for n, (image, trimap, _), probability in predicted(model, examples, size, policy, flip, batch_size, shown):
            evaluation.images[n], evaluation.truths[n] = image, _truth(trimap, target)
            evaluation.predictions[n] = foreground_mask(probability, target)
    return evaluation


def positions_shown(ious, batch_size):
    """Positions of the images that `Evaluation` holds: all of one batch, else the best, the median and the worst."""
    count = len(ious)
    if count <= batch_size:
        return range(count)
    ranking = np.argsort(-ious, kind="stable").tolist()
    return ranking[0], ranking[(count - 1) // 2], ranking[-1]


def predicted(model, examples, size, policy, flip, batch_size, wanted=EVERY):
    """Predicts a batch at a time, and only the batches with images at `wanted` positions; arguments as for `evaluate`.

    Yields:
        `(position, (image, trimap, trimap at the photo's own size), probabilities)` of each image that is wanted.
    """

    def prepare(example):
        return *resize_example(example, size), example["segmentation_mask"]

    examples = checked_examples(examples, policy)
    chunks = _chunks(examples.map(prepare, PARALLEL_CALLS).prefetch(batch_size), batch_size)
    for number, chunk in enumerate(chunks):
        positions = range(number * batch_size, number * batch_size + len(chunk))
        if any(n in wanted for n in positions):
            images = np.stack([image for image, _, _ in chunk])
            probabilities = predict_probabilities(model, images.astype("float32") / 255.0, flip)
            yield from (row for row in zip(positions, chunk, probabilities, strict=True) if row[0] in wanted)


def trivial_scores(examples, size, policy):
    """Scores of the predictors that need no model: `{"all_foreground": {...}, "all_background": {...}}`.

    Args and errors: as for `evaluate`.
    """
    target = _foreground(policy)
    every, none = ForegroundScores(), ForegroundScores()
    resized = checked_examples(examples, policy).map(lambda e: resize_example(e, size), PARALLEL_CALLS)
    for _, trimap in resized.as_numpy_iterator():
        truth, border = _truth(trimap, target), trimap[..., 0] == BORDER
        every.update(truth, np.ones_like(truth), border)
        none.update(truth, np.zeros_like(truth), border)
    return {"all_foreground": every.result(), "all_background": none.result()}


def _foreground(policy):
    if policy == IDS:
        raise ValueError("Class ids have no foreground; see tfseg.evaluate_classes. Received: policy='ids'")
    return foreground_target(policy)


def _truth(trimap, target):
    return target_from_trimap(trimap, target).numpy()[..., 0].astype(bool)


def _chunks(dataset, count):
    chunk = []
    for item in dataset.as_numpy_iterator():
        chunk.append(item)
        if len(chunk) == count:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
