"""From a photo of any size to a foreground mask of the same size.

Photos go into a model exactly as in `tfseg.evaluate`: squeezed to its square, whatever their aspect ratio, bilinear and
antialiased; and the probabilities come back bilinear. So the scores of an evaluation hold for these masks.
"""

import hashlib
import json
import re
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

from tfseg.evaluate import predict_probabilities
from tfseg.metrics import BACKGROUND_CLASS

WEIGHTS = Path(__file__).parent / "weights" / "pets.keras"
"""The model that comes with this package; the record of its training, data and scores is `pets.json` beside it."""


def load_model(path=WEIGHTS):
    """Loads a trained model for prediction, in float32.

    A model remembers the precision that it was trained in. Float32 gives the same mask on every machine and in every
    exported format, and needs no hardware for bfloat16.

    Args:
        path: a file saved by Keras.

    Returns:
        A `keras.Model` from photos `(batch, height, width, 3)` in [0, 1] to logits, not compiled.

    Raises:
        ValueError: if the file can't be loaded, or its model is none that segments photos; and if the included weights
            are not those of their record.
    """
    if Path(path) == WEIGHTS:
        _check_included()
    try:
        with open(path, "rb") as file:
            if Path(path).suffix == ".keras" and not zipfile.is_zipfile(file):  # Keras would call it missing
                raise ValueError("cut short, or not written by Keras")
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras lets whatever its parsers raise through
        problem = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise ValueError(f"{path} is no model that Keras can load ({problem[:200]})") from error
    inputs, outputs = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not _segments_photos(inputs, outputs):
        raise ValueError(
            f"{path} is no model that segments photos: it must map (batch, height, width, 3), of a known size, to "
            f"logits (batch, height, width, 1 or 3). Received: {inputs} to {outputs}"
        )
    return _in_float32(model)


def _check_included():
    record = json.loads(WEIGHTS.with_suffix(".json").read_text())
    if hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() != record["weights_sha256"]:
        raise ValueError(f"{WEIGHTS} is not the file of its record, {WEIGHTS.stem}.json; restore both")


def _segments_photos(inputs, outputs):
    if not all(isinstance(shape, tuple) and len(shape) == 4 for shape in (inputs, outputs)):
        return False
    return all(inputs[1:3]) and inputs[3] == 3 and outputs[1:3] == inputs[1:3] and outputs[3] in (1, 3)


def _in_float32(model):
    config = re.sub(r'"(mixed_)?b?float16"', '"float32"', model.to_json())
    copy = keras.models.model_from_json(config)
    copy.set_weights(model.get_weights())
    return copy


def segment(model, photo, flip=False, threshold=0.5):
    """Finds the foreground of a photo.

    Args:
        model: what `load_model` returns, or any model from images of a fixed size to logits of one channel (foreground)
            or three (pet, background, border).
        photo: uint8 `(height, width, 3)` in [0, 255], of any size.
        flip: average the predictions of the photo and its mirror image.
        threshold: foreground is where the probability is above it, in [0, 1]. At 0.5 the mask is the one that
            `tfseg.evaluate` scores.

    Returns:
        `(probability, mask)`: float32 in [0, 1] and bool, both `(height, width)`. Of three classes, pet and border are
        merged: the larger of the two against the background, so that 0.5 is where the likeliest class changes.

    Raises:
        ValueError: for an array that is no photo.

    Example:

    >>> probability, mask = segment(load_model(), read_photo("cat.jpg"))
    """
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise ValueError(f"photo must be uint8 (height, width, 3). Received: {photo.dtype} {photo.shape}")
    image = _resize(photo, model.input_shape[1:3], antialias=True)  # rounded to uint8, as `resize_example` does
    probabilities = predict_probabilities(model, image[None].astype("float32") / 255.0, flip)[0]
    probability = _foreground(_resize(probabilities, photo.shape[:2]))
    return probability, probability > threshold


def _resize(image, size, antialias=False):
    return ops.convert_to_numpy(ops.image.resize(image, size, interpolation="bilinear", antialias=antialias))


def _foreground(probabilities):
    if probabilities.shape[-1] == 1:
        return probabilities[..., 0]
    background = probabilities[..., BACKGROUND_CLASS]
    found = np.delete(probabilities, BACKGROUND_CLASS, axis=-1).max(axis=-1)
    return found / (found + background)
