"""Trained models in formats that run without Keras: TensorFlow SavedModel, LiteRT, ONNX.

Imports Keras on first use, so that a path that can't work is known at once.
"""

import importlib.util
import os
import shutil
import warnings
from pathlib import Path

FORMATS = {"": "tf_saved_model", ".tflite": "litert", ".onnx": "onnx"}
"""Formats by the suffix of the path; a path without one is the folder of a SavedModel."""

ONNX_CONVERTER = 'pip install ".[export]"'


def check_export(path):
    """Raises where a model can't be exported to this path.

    Raises:
        ValueError: for a suffix that is not in `FORMATS`.
        FileExistsError: if the path exists.
        ModuleNotFoundError: for ONNX, if its converter is not installed.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(
            f"Unknown format. Name a file .tflite (LiteRT) or .onnx (ONNX), or a folder (SavedModel). Received: {path}"
        )
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists already; delete it, or export to another path")
    if path.suffix == ".onnx" and not importlib.util.find_spec("tf2onnx"):
        raise ModuleNotFoundError(f"export to ONNX needs tf2onnx; run: {ONNX_CONVERTER}", name="tf2onnx")


def export(model, path, size=None):
    """Exports a model, with the activation that its logits need.

    The exported model maps float32 photos `(batch, height, width, 3)` in [0, 1], resized to its size, to class
    probabilities `(batch, height, width, channels)` in float32: one channel of foreground, or one a class. That of a
    model that takes any size takes any, also one that its levels don't divide: it repeats the photo's last rows and
    columns, as `tfseg.predict.segment` does.

    Args:
        model: what `tfseg.predict.load_model` returns. In float32: the formats run where bfloat16 may not.
        path: file or folder to write; its suffix chooses the format (`FORMATS`). It is there whole or not at all.
        size: side of the square photos that the exported model takes, of a model that takes any size.

    Raises:
        ValueError, FileExistsError, ModuleNotFoundError: as `check_export`; ValueError also under another backend than
            TensorFlow, which alone exports to all three, and for upsampling of any size to LiteRT, which lacks it.
    """
    path = Path(path)
    check_export(path)
    import keras

    from tfseg.predict import divisor

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"export needs KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()}")
    activation = "sigmoid" if model.output_shape[-1] == 1 else "softmax"
    sides = [known or size for known in model.input_shape[1:3]]
    upsamples = any(isinstance(layer, keras.layers.UpSampling2D) for layer in model.layers)
    if path.suffix == ".tflite" and upsamples and not all(sides):
        raise ValueError("LiteRT can't upsample images of any size; give a size, or export to ONNX or a SavedModel")
    images = keras.Input((*sides, model.input_shape[3]), name=model.input.name)
    fits = all(model.input_shape[1:3]) or all(side and side % divisor(model) == 0 for side in sides)
    logits = model(images) if fits else _padding(model)(images)
    probabilities = keras.layers.Activation(activation, dtype="float32", name="probabilities")(logits)
    whole = keras.Model(images, probabilities, name=model.name)
    example = keras.ops.zeros((1, *(side or 8 for side in sides), model.input_shape[3]))
    whole(example)  # Keras exports no model that was never called
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of Keras's own bridge to ONNX
            whole.export(temporary, format=FORMATS[path.suffix], verbose=False)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if temporary.is_file():
            temporary.unlink()


def _padding(model):
    """A layer that runs a model on images of any size: it repeats their last rows and columns up to one that fits."""
    import keras
    import tensorflow as tf

    from tfseg.predict import divisor

    multiple = divisor(model)

    class Padding(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="any_size")
            self.model = model

        def call(self, images):
            height, width = tf.shape(images)[1], tf.shape(images)[2]
            more = [(multiple - side % multiple) % multiple for side in (height, width)]
            rows, columns = tf.range(height + more[0]), tf.range(width + more[1])
            rows, columns = tf.minimum(rows, height - 1), tf.minimum(columns, width - 1)
            padded = tf.gather(tf.gather(images, rows, axis=1), columns, axis=2)
            return self.model(padded)[:, :height, :width]

        def compute_output_shape(self, input_shape):
            return self.model.compute_output_shape(input_shape)

    return Padding()
