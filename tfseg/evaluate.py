"""Scores a model on TFDS examples: at its own resolution, at each photo's, and beside the trivial predictors."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfseg.data import BORDER, PARALLEL_CALLS, resize_example, target_from_trimap
from tfseg.metrics import ClassScores, ForegroundScores, foreground_mask, foreground_target


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
        images: uint8 `(n, size, size, 3)`, what the model saw.
        truths, predictions: bool `(n, size, size)`, foreground.
        ious: float64 `(n,)`, IoU of each image at the model's resolution.
    """

    scores: dict
    images: np.ndarray
    truths: np.ndarray
    predictions: np.ndarray
    ious: np.ndarray


def evaluate(model, examples, size, policy, flip=False, target=None, batch_size=32):
    """Scores a model on every example of a dataset.

    Args:
        model: maps float32 images `(batch, size, size, 3)` in [0, 1] to logits.
        examples: `tf.data.Dataset` of TFDS examples (`image`, `segmentation_mask`).
        size: the model's resolution, in pixels.
        policy: the target policy that the model was trained on. Under `"trimap"`, the three-class scores are added.
        flip: average the predictions of each image and its mirror image.
        target: what the binary scores take for foreground where `policy` is `"trimap"`: `"foreground"` (pet and border
            merged, the default) or `"pet"`.
        batch_size: images predicted at a time.

    Returns:
        An `Evaluation` whose `scores` are those of `ForegroundScores.result`, `iou_native` (dataset-level IoU at the
        photos' own resolution, probabilities resized bilinear), and under `"trimap"` those of `ClassScores.result`.
    """
    target = target or foreground_target(policy)
    scores, native, classes = ForegroundScores(), ForegroundScores(), ClassScores()
    kept = []

    def prepare(example):
        return *resize_example(example, size), example["segmentation_mask"]

    for chunk in _chunks(examples.map(prepare, PARALLEL_CALLS).prefetch(batch_size), batch_size):
        images = np.stack([image for image, _, _ in chunk])
        probabilities = predict_probabilities(model, images.astype("float32") / 255.0, flip)
        for (image, trimap, full), probability in zip(chunk, probabilities, strict=True):
            truth = _truth(trimap, target)
            prediction = foreground_mask(probability, target)
            scores.update(truth, prediction, border=trimap[..., 0] == BORDER)
            resized = tf.image.resize(probability, full.shape[:2]).numpy()
            native.update(_truth(full, target), foreground_mask(resized, target))
            if policy == "trimap":
                classes.update(trimap[..., 0] - 1, np.argmax(probability, axis=-1))
            kept.append((image, truth, prediction))

    result = {**scores.result(), "iou_native": native.result()["iou"]}
    if policy == "trimap":
        result |= classes.result()
    return Evaluation(result, *(np.stack(column) for column in zip(*kept, strict=True)), scores.per_image_iou())


def trivial_scores(examples, size, policy):
    """Scores of the predictors that need no model: `{"all_foreground": {...}, "all_background": {...}}`.

    Args: as for `evaluate`.
    """
    target = foreground_target(policy)
    every, none = ForegroundScores(), ForegroundScores()
    for _, trimap in examples.map(lambda e: resize_example(e, size), PARALLEL_CALLS).as_numpy_iterator():
        truth, border = _truth(trimap, target), trimap[..., 0] == BORDER
        every.update(truth, np.ones_like(truth), border)
        none.update(truth, np.zeros_like(truth), border)
    return {"all_foreground": every.result(), "all_background": none.result()}


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
