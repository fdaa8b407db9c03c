import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfseg.blocks import NORMALIZATIONS
from tfseg.normalization import BatchNormalization

on_cpus = pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="the kernel is for CPUs")


def feature_maps(dtype="float32", shape=(4, 6, 5, 3)):
    rng = np.random.default_rng(0)
    return tf.cast(rng.normal(2.0, [0.5, 1.0, 3.0], shape), dtype)


def step(layer, inputs, compiled=None):
    """Outputs of a training step, the gradients of a weighted sum of them, and what the layer remembers."""
    layer.build(inputs.shape)
    layer.gamma.assign([0.5, 1.0, 2.0])
    layer.beta.assign([-1.0, 0.0, 3.0])
    weights = tf.cast(np.random.default_rng(1).normal(size=inputs.shape), inputs.dtype)

    def run():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            total = tf.reduce_sum(tf.cast(weights * outputs, "float32"))
        sources = [inputs, *(variable.value for variable in layer.trainable_variables)]
        return outputs, *tape.gradient(total, sources)

    run = run if compiled is None else tf.function(run, jit_compile=compiled)
    return *(np.asarray(x, "float32") for x in run()), *(x.numpy() for x in layer.non_trainable_variables)


@on_cpus
def test_kernel_is_used(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("Keras's own step ran")

    monkeypatch.setattr(layers.BatchNormalization, "call", fail)
    assert isinstance(NORMALIZATIONS["batch"](3, "norm"), BatchNormalization)
    assert BatchNormalization()(feature_maps(), training=True).shape == (4, 6, 5, 3)


def test_known_values():
    """Mean 2, variance 1: outputs (x - 2) / sqrt(1 + 0.001); a hundredth of both joins 0.99 of 0 and 1."""
    layer = BatchNormalization()
    outputs = layer(np.reshape([1.0, 3.0, 1.0, 3.0], (1, 2, 2, 1)).astype("float32"), training=True)
    np.testing.assert_allclose(outputs[0, :, :, 0], [[-0.9995, 0.9995], [-0.9995, 0.9995]], atol=1e-5)
    assert [float(x[0]) for x in layer.non_trainable_variables] == pytest.approx([0.02, 0.99 + 0.01])


@pytest.mark.parametrize("compiled", [None, False, True])
def test_step_and_gradients_are_those_of_keras(compiled):
    ours = step(BatchNormalization(), feature_maps(), compiled)
    theirs = step(layers.BatchNormalization(), feature_maps())
    assert len(ours) == 6
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy, compiled", [("mixed_bfloat16", None), ("mixed_float16", False)])
def test_mixed_precision_is_that_of_keras(policy, compiled):
    inputs = feature_maps(keras.DTypePolicy(policy).compute_dtype)
    layer = BatchNormalization(dtype=policy)
    ours = step(layer, inputs, compiled)
    theirs = step(layers.BatchNormalization(dtype=policy), inputs)
    assert layer(inputs, training=True).dtype == inputs.dtype
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=0.02, atol=0.02 * np.abs(their).max())
    for our, their in zip(ours[-2:], theirs[-2:], strict=True):  # remembered in float32
        np.testing.assert_allclose(our, their, rtol=1e-5)


@pytest.mark.parametrize(
    "shape, options",
    [
        ((4, 3), {}),
        ((2, 3, 4, 5), {"axis": 1}),
        ((2, 4, 5, 3), {"scale": False}),
        ((2, 4, 5, 3), {"center": False}),
        ((2, 4, 5, 3), {"renorm": True}),
        ((2, 4, 5, 3), {"dtype": "float64"}),
    ],
)
def test_what_the_kernel_does_not_compute_is_left_to_keras(shape, options):
    inputs = np.random.default_rng(0).normal(2.0, 3.0, shape)
    ours, theirs = BatchNormalization(**options), layers.BatchNormalization(**options)
    np.testing.assert_array_equal(ours(inputs, training=True), theirs(inputs, training=True))
    for our, their in zip(ours.non_trainable_variables, theirs.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(our, their)


def test_frozen_and_in_inference_it_uses_what_it_remembers():
    layer, inputs = BatchNormalization(), feature_maps()
    expected = inputs / np.sqrt(1.001)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-6)
    layer.trainable = False
    np.testing.assert_allclose(layer(inputs, training=True), expected, rtol=1e-6)
    assert float(layer.moving_mean[0]) == 0.0


def test_a_saved_model_names_keras_own_layer(tmp_path):
    model = keras.Sequential([keras.Input((6, 5, 3)), BatchNormalization(name="norm")])
    model.compile("sgd", "mse")
    model.fit(feature_maps(), feature_maps(), verbose=0)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        saved = json.loads(file.read("config.json"))["config"]["layers"][-1]
    assert (saved["module"], saved["class_name"]) == ("keras.layers", "BatchNormalization")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("norm")) is layers.BatchNormalization
    np.testing.assert_allclose(loaded(feature_maps()), model(feature_maps()), rtol=1e-6)
