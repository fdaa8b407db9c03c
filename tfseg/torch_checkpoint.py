"""Reads the weights of a PyTorch checkpoint without PyTorch, and without running anything that the file says.

A checkpoint is a pickle, and a pickle may name any function for the reader to call. This reader knows the four names
that a file of tensors needs and refuses every other.
"""

import pickle
import struct
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of files written by torch.save before PyTorch 1.6


class _Tensor(NamedTuple):
    """Where a tensor lies, its numbers follow the pickle in the file; and what else PyTorch says of it."""

    storage: str
    offset: int
    shape: tuple
    stride: tuple
    requires_grad: bool = False
    hooks: object = None
    metadata: object = None


_KNOWN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.dtypes = {}

    def find_class(self, module, name):
        if (module, name) not in _KNOWN:
            raise ValueError(f"it asks for {module}.{name}, which is no part of a tensor")
        return _KNOWN[module, name]

    def persistent_load(self, key):
        _, dtype, storage, *_ = key
        self.dtypes[storage] = dtype
        return storage


def read_checkpoint(path):
    """Reads a `state_dict` that `torch.save` wrote before PyTorch 1.6: one pickle, then the numbers.

    Args:
        path: the file.

    Returns:
        `{name: NumPy array}`, float32 or int64, in the file's order.

    Raises:
        ValueError: for a file of another kind, a damaged one, and one that asks for code.
    """
    try:
        with open(path, "rb") as file:
            if _Unpickler(file).load() != MAGIC or _Unpickler(file).load() != PROTOCOL:
                raise ValueError("another format")
            _Unpickler(file).load()  # of the machine that wrote it
            unpickler = _Unpickler(file)
            tensors = unpickler.load()
            storages = {key: _read_storage(file, unpickler.dtypes[key]) for key in _Unpickler(file).load()}
            return {name: _view(storages[tensor.storage], tensor) for name, tensor in tensors.items()}
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(f"{path} is no checkpoint of PyTorch that can be read ({error})") from error


def _read_storage(file, dtype):
    (count,) = struct.unpack("<q", file.read(8))
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


def _view(storage, tensor):
    strides = [step * storage.itemsize for step in tensor.stride]
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=True))
    if tensor.offset < 0 or min((*tensor.shape, *tensor.stride, 1)) < 0 or last >= len(storage):
        raise ValueError("a tensor lies outside its storage")
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides).copy()
