"""From a photo of any size to a mask of the same size: of the foreground, or of classes.

Photos go into a model exactly as in `tfseg.evaluate`: squeezed to its square, whatever their aspect ratio, bilinear and
antialiased; and the probabilities come back bilinear. So the scores of an evaluation hold for these masks. A model that
takes any size sees a photo as it is, or squeezed to a square where one is asked for.
"""

import hashlib
import json
import re
import weakref
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

from tfseg.classes import Classes, recall
from tfseg.evaluate import predict_probabilities
from tfseg.metrics import BACKGROUND_CLASS, class_ids
from tfseg.photos import as_photo

WEIGHTS = Path(__file__).parent / "weights" / "pets.keras"
"""The model that comes with this package; the record of its training, data and scores is `pets.json` beside it."""


def load_model(path=WEIGHTS):
    """Loads a trained model for prediction, in float32.

    A model remembers the precision that it was trained in. Float32 gives the same mask on every machine and in every
    exported format, and needs no hardware for bfloat16.

    Args:
        path: a file saved by Keras.

    Returns:
        A `keras.Model` from photos `(batch, height, width, 3)` in [0, 1] to logits, not compiled. Its attribute
        `classes` is the `tfseg.classes.Classes` that the file remembers, or None: then one channel is the foreground,
        and three are pet, background and border; other channels are classes that go by their numbers. `image_size` is
        the size it was trained at, or None.

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
        classes, image_size = recall(path)
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras lets whatever its parsers raise through
        problem = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise ValueError(f"{path} is no model that Keras can load ({problem[:200]})") from error
    inputs, outputs = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not _segments_photos(inputs, outputs):
        raise ValueError(
            f"{path} is no model that segments photos: it must map (batch, height, width, 3), to logits (batch, "
            f"height, width, channels). Received: {inputs} to {outputs}"
        )
    model = _in_float32(model)
    if classes is None and outputs[3] not in (1, 3):
        classes = Classes([f"class {number}" for number in range(outputs[3])])
    model.classes, model.image_size = classes, image_size
    return model


def _check_included():
    record = json.loads(WEIGHTS.with_suffix(".json").read_text())
    if hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() != record["weights_sha256"]:
        raise ValueError(f"{WEIGHTS} is not the file of its record, {WEIGHTS.stem}.json; restore both")


def _segments_photos(inputs, outputs):
    if not all(isinstance(shape, tuple) and len(shape) == 4 for shape in (inputs, outputs)):
        return False
    return inputs[3] == 3 and outputs[1:3] == inputs[1:3] and bool(outputs[3])


def _in_float32(model):
    config = re.sub(r'"(mixed_)?b?float16"', '"float32"', model.to_json())
    copy = keras.models.model_from_json(config)
    copy.set_weights(model.get_weights())
    return copy


def segment(model, photo, flip=False, threshold=0.5, size=None):
    """Finds the foreground of a photo.

    Args:
        model: what `load_model` returns, or any model from images to logits of one channel (foreground) or three (pet,
            background, border).
        photo: `(height, width, 3)` in [0, 255], uint8, of any size; or what else `tfseg.photos.as_photo` takes: grey,
            RGBA, floats in [0, 1].
        flip: average the predictions of the photo and its mirror image.
        threshold: foreground is where the probability is above it, in [0, 1]. At 0.5 the mask is the one that
            `tfseg.evaluate` scores.
        size: side of the square that the photo is squeezed to, for a model that takes any size. By default that is the
            size it was trained at, where its file remembers it, else the photo's own size.

    Returns:
        `(probability, mask)`: float32 in [0, 1] and bool, both `(height, width)`. Of three classes, pet and border are
        merged: the larger of the two against the background, so that 0.5 is where the likeliest class changes.

    Raises:
        ValueError: for an array that is no photo, a size that the model does not have, or a model that tells other
            classes apart.

    Example:

    >>> probability, mask = segment(load_model(), read_photo("cat.jpg"))
    """
    if tells_classes(model):
        raise ValueError(
            f"The model tells {model.output_shape[-1]} classes apart; call segment_classes, which returns their ids"
        )
    probability = _foreground(predict_photo(model, photo, flip, size))
    return probability, probability > threshold


def tells_classes(model):
    """Whether a model tells classes apart that are no foreground, so that `segment_classes` is what it is for."""
    channels = model.output_shape[-1]
    return channels not in (1, 3) or (channels == 3 and bool(getattr(model, "classes", None)))


def segment_classes(model, photo, flip=False, size=None):
    """Finds the class of each pixel of a photo; arguments and errors as for `segment`.

    Returns:
        `(probabilities, ids)`: float32 `(height, width, channels)` in [0, 1], and uint8 class ids `(height, width)`; of
        a model of one channel, 1 is the foreground.
    """
    probabilities = predict_photo(model, photo, flip, size)
    return probabilities, class_ids(probabilities)


def predict_photo(model, photo, flip=False, size=None):
    """Class probabilities of a photo, float32 `(height, width, channels)`; arguments and errors as for `segment`."""
    photo = as_photo(photo)
    known = model.input_shape[1:3]
    if all(known):
        if size and known != (size, size):
            raise ValueError(f"The model takes images of {known[0]} x {known[1]} pixels alone. Received: size={size}")
        return _resize(_predict(model, _resize(photo, known, antialias=True), flip), photo.shape[:2])
    size = size or getattr(model, "image_size", None)
    seen = _resize(photo, (size, size), antialias=True) if size else photo  # rounded to uint8, as `resize_example` does
    height, width = seen.shape[:2]
    padding = [(0, -side % divisor(model)) for side in (height, width)]
    probabilities = _predict(model, np.pad(seen, (*padding, (0, 0)), "edge"), flip)[:height, :width]
    return _resize(probabilities, photo.shape[:2]) if size else probabilities


def _predict(model, image, flip):
    return predict_probabilities(model, image[None].astype("float32") / 255.0, flip)[0]


_divisors = weakref.WeakKeyDictionary()


def divisor(model):
    """What the height and width of an image must be divisible by, for a model that takes any size: a power of 2.

    Raises:
        ValueError: if no image of up to 768 pixels passes through the model.
    """
    if model not in _divisors:
        for number in (2**power for power in range(9)):
            if _passes(model, 3 * number):
                _divisors[model] = number
                break
        else:
            raise ValueError(f"No image passes through the model {model.name}, whatever its size")
    return _divisors[model]


def _passes(model, side):
    """Whether a square image comes out as it went in; what is halved too often meets a skip of another size."""
    try:
        return model(ops.zeros((1, side, side, model.input_shape[3]))).shape[1:3] == (side, side)
    except Exception:  # each backend raises its own
        return False


def _resize(image, size, antialias=False):
    return ops.convert_to_numpy(ops.image.resize(image, size, interpolation="bilinear", antialias=antialias))


def _foreground(probabilities):
    if probabilities.shape[-1] == 1:
        return probabilities[..., 0]
    background = probabilities[..., BACKGROUND_CLASS]
    found = np.delete(probabilities, BACKGROUND_CLASS, axis=-1).max(axis=-1)
    return found / (found + background)
