"""A saved model at half its size: its weights stored in float16, which Keras reads into float32 variables."""

import io
import zipfile

import h5py
import numpy as np

STORED = "model.weights.h5"


def in_float16(model):
    """Stores the weights of a saved model in float16.

    The model itself stays as it is: Keras casts what it reads to the type of each variable.

    Args:
        model: content of a `.keras` file.

    Returns:
        Content of the smaller file.

    Raises:
        ValueError: for weights that float16 can't hold.
    """
    old, new = zipfile.ZipFile(io.BytesIO(model)), io.BytesIO()
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in old.infolist():
            content = old.read(entry)
            archive.writestr(entry, _smaller(content) if entry.filename == STORED else content)
    return new.getvalue()


def _smaller(weights):
    file = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as old, h5py.File(file, "w") as new:
        new.attrs.update(old.attrs)
        old.visititems(lambda name, item: _copy(name, item, new))
    return file.getvalue()


def _copy(name, item, new):
    if isinstance(item, h5py.Group):
        new.require_group(name).attrs.update(item.attrs)
        return
    values = item[()]
    if item.dtype == np.float32:
        with np.errstate(over="ignore"):
            values = values.astype(np.float16)
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds numbers that float16 can't hold")
    new.create_dataset(name, data=values).attrs.update(item.attrs)
