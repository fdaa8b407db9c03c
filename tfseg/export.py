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


def export(model, path):
    """Exports a model, with the activation that its logits need.

    The exported model maps float32 photos `(batch, height, width, 3)` in [0, 1], resized to its size, to class
    probabilities `(batch, height, width, channels)` in float32: one channel of foreground, or three of pet, background
    and border.

    Args:
        model: what `tfseg.predict.load_model` returns. In float32: the formats run where bfloat16 may not.
        path: file or folder to write; its suffix chooses the format (`FORMATS`). It is there whole or not at all.

    Raises:
        ValueError, FileExistsError, ModuleNotFoundError: as `check_export`; ValueError also under another backend than
            TensorFlow, which alone exports to all three.
    """
    path = Path(path)
    check_export(path)
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"export needs KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()}")
    activation = "sigmoid" if model.output_shape[-1] == 1 else "softmax"
    probabilities = keras.layers.Activation(activation, dtype="float32", name="probabilities")(model.output)
    whole = keras.Model(model.input, probabilities, name=model.name)
    whole(keras.ops.zeros((1, *model.input_shape[1:])))  # Keras exports no model that was never called
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
