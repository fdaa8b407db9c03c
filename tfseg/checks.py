"""Input that a model would train on without a word, and learn nothing from: told in one line instead.

Where values are at hand, a wrong one is a `ValueError`. In a compiled step TensorFlow stops at it, and a model of
`build_unet` turns that into the same `ValueError`. Where neither can be (XLA, JAX), the loss is NaN.
"""

import contextlib
import re

import keras
from keras import ops

_MARK = "Check: "


def require(ok, message, received):
    """Makes sure that a condition on the values of tensors holds.

    Args:
        ok: bool scalar tensor.
        message: what must hold, a sentence.
        received: scalar tensor that is shown where it does not.

    Returns:
        Float32 scalar to add to a loss: 0, or NaN where `ok` is false and nothing could stop the computation.

    Raises:
        ValueError: if `ok` is false, and known to be.
        tf.errors.InvalidArgumentError: likewise, while TensorFlow runs a graph; see `in_one_line`.
    """
    try:
        known = bool(ok)
    except TypeError:  # a tensor without a value yet
        known = None
    if known is False:
        raise ValueError(f"{message} Received: {_number(ops.convert_to_numpy(received))}")
    # In the graphs of `tf.data`, tensors are TensorFlow's under every backend.
    if known is None and (keras.backend.backend() == "tensorflow" or type(ok).__module__.startswith("tensorflow")):
        import tensorflow as tf

        with tf.control_dependencies([tf.debugging.Assert(ok, [f"{_MARK}{message}", received])]):
            return tf.where(ok, 0.0, float("nan"))
    return ops.where(ok, 0.0, float("nan"))


@contextlib.contextmanager
def in_one_line():
    """Turns a condition of `require` that failed in one of TensorFlow's graphs into a `ValueError` of one line."""
    try:
        yield
    except Exception as error:
        found = re.search(rf"assertion failed: \[{_MARK}(.*?)\] \[(.*?)\]", str(error))
        if not found:
            raise
        raise ValueError(f"{found[1]} Received: {_number(found[2])}") from None


def _number(value):
    return f"{float(value):.6g}"


def check_images(images):
    """Refuses images of whole numbers, which are in [0, 255] where a model expects [0, 1].

    Args:
        images: an array or tensor; other things pass.

    Raises:
        ValueError: naming the type and the remedy.
    """
    kind = getattr(images, "dtype", None)
    kind = keras.backend.standardize_dtype(kind) if kind is not None else "float32"
    if "float" not in kind:
        raise ValueError(f"Images must be floats in [0, 1]; divide bytes by 255. Received: images of type {kind}")


class SegmentationModel(keras.Model):
    """A Functional model whose wrong inputs are told in one line.

    Model files name it as Keras's own class, so they load without this package.
    """

    __module__ = "keras"

    def __call__(self, inputs, *args, **kwargs):
        check_images(inputs)
        return super().__call__(inputs, *args, **kwargs)

    fit = in_one_line()(keras.Model.fit)
    evaluate = in_one_line()(keras.Model.evaluate)
    train_on_batch = in_one_line()(keras.Model.train_on_batch)
    test_on_batch = in_one_line()(keras.Model.test_on_batch)


SegmentationModel.__name__ = SegmentationModel.__qualname__ = "Model"
