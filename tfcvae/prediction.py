"""One compiled prediction of one batch, on every backend."""

import keras
import numpy as np
from keras import tree


def predict(network, *inputs):
    """Runs a network, compiled, on one batch of arrays; returns what it puts out, NumPy arrays.

    JAX compiles anew for each size of batch. There zeros fill it up to a power of two, so that few sizes occur. Under
    `tf.distribute` each replica gets the batch, and the first one's result counts.
    """
    count = len(inputs[0])
    if keras.backend.backend() == "jax":
        inputs = [_filled_up(np.asarray(array)) for array in inputs]
    outputs = network.predict_on_batch(inputs[0] if len(inputs) == 1 else list(inputs))
    return tree.map_structure(lambda output: output[:count], outputs)


def _filled_up(array):
    missing = (1 << (len(array) - 1).bit_length()) - len(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
