"""What the tests of all packages share. Imports nothing heavy: tests that need no TensorFlow start at once."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in the scripts

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def float32_policy():
    """A test may set a precision policy; the next one starts from float32 again."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def python():
    """A function that runs Python to its good end in a process of its own, and returns what it wrote to stdout."""

    def run(*command, **environment):
        command, env = [sys.executable, *map(str, command)], os.environ | environment
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[1], env=env
        )
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def python_on_jax(python):
    """`python` on Keras's second backend, with two devices. JAX is an optional extra: skips where it is missing."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed: pip install '.[jax]'")

    def run(*command):
        return python(
            *command,
            KERAS_BACKEND="jax",
            XLA_FLAGS="--xla_force_host_platform_device_count=2",
            JAX_DISABLE_MOST_OPTIMIZATIONS="1",  # compiling takes longer than all that is computed
        )

    return run


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
