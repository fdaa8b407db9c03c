"""What the tests of all packages share. Imports nothing heavy: tests that need no TensorFlow start at once."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def float32_policy():
    """A test may set a precision policy; the next one starts from float32 again."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def disturb():
    """A function that moves all of a model's weights, batch statistics included, off the values of a new model."""

    def change(model):
        random = np.random.default_rng(0)
        for variable in model.weights:
            if variable.dtype == "float32":
                variable.assign(variable + random.normal(0, 0.02, variable.shape))

    return change


@pytest.fixture(scope="session")
def as_examples():
    """A function from (image, trimap) pairs, `(h, w, 3)` and `(h, w)` each, to a dataset of TFDS examples."""

    def build(*pairs):
        import tensorflow as tf

        signature = {
            "image": tf.TensorSpec((None, None, 3), tf.uint8),
            "segmentation_mask": tf.TensorSpec((None, None, 1), tf.uint8),
        }

        def examples():
            for image, trimap in pairs:
                trimap = np.asarray(trimap, np.uint8)
                yield {"image": np.asarray(image, np.uint8), "segmentation_mask": trimap[..., None]}

        dataset = tf.data.Dataset.from_generator(examples, output_signature=signature)
        return dataset.apply(tf.data.experimental.assert_cardinality(len(pairs)))

    return build
