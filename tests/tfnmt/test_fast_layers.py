import keras
import numpy as np
import pytest
import tensorflow as tf

from tfnmt.fast_layers import Dropout, LayerNormalization

on_cpus = pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="the layers' own code is for CPUs")
SHAPE = (4, 6, 8)


def values_and_gradients(layer, inputs, compiled=None):
    """Outputs, and the gradients of a weighted sum of them of the inputs, scale and offset, as float32."""
    layer.build(inputs.shape)
    rng = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(1.0, 0.5, variable.shape))
    weights = tf.constant(rng.normal(size=inputs.shape), "float32")

    def run():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            total = tf.reduce_sum(weights * tf.cast(outputs, "float32"))
        return outputs, *tape.gradient(total, [inputs, layer.gamma.value, layer.beta.value])

    results = (run if compiled is None else tf.function(run, jit_compile=compiled))()
    assert results[0].dtype == results[1].dtype == layer.compute_dtype
    return [np.asarray(tf.cast(x, "float32")) for x in results]


@pytest.mark.parametrize("compiled", [None, True])
@pytest.mark.parametrize("policy, tolerance", [("float32", 2e-5), ("mixed_bfloat16", 2e-2), ("mixed_float16", 4e-3)])
def test_layer_normalization_and_its_gradients_are_those_of_keras(policy, tolerance, compiled):
    inputs = tf.cast(np.random.default_rng(0).normal(2.0, 3.0, SHAPE), "float32")
    expected = values_and_gradients(keras.layers.LayerNormalization(epsilon=1e-5, dtype="float32"), inputs)
    layer = LayerNormalization(epsilon=1e-5, dtype=policy)
    found = values_and_gradients(layer, tf.cast(inputs, layer.compute_dtype), compiled)
    for value, other in zip(found, expected, strict=True):
        assert np.abs(value - other).max() < tolerance * np.abs(other).max()


def test_layer_normalization_of_known_values():
    outputs = LayerNormalization(epsilon=1.0)(np.array([[1.0, 3.0, 5.0, 7.0]], "float32"))  # mean 4, variance 5
    assert np.allclose(outputs, np.array([[-3, -1, 1, 3]]) / np.sqrt(6))


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("bfloat16", 2e-2)])
def test_layer_normalization_whose_weights_are_not_float32_is_left_to_keras(dtype, tolerance):
    inputs = np.random.default_rng(0).normal(2.0, 3.0, SHAPE)
    outputs = LayerNormalization(epsilon=1e-5, dtype=dtype)(tf.cast(inputs, dtype))
    expected = (inputs - inputs.mean(-1, keepdims=True)) / np.sqrt(inputs.var(-1, keepdims=True) + 1e-5)
    assert outputs.dtype == dtype and np.abs(tf.cast(outputs, "float64") - expected).max() < tolerance * 3


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("compiled", [None, False, True])
def test_dropout_drops_a_share_and_scales_the_rest_and_its_gradient(policy, compiled):
    layer = Dropout(0.25, seed=0, dtype=policy)
    inputs = tf.cast(np.full((999, 101), 3.0), layer.compute_dtype)

    def run():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
        return outputs, tape.gradient(outputs, inputs)

    run = run if compiled is None else tf.function(run, jit_compile=compiled)
    (first, gradient), (second, _) = ([np.asarray(tf.cast(x, "float32")) for x in run()] for _ in range(2))
    assert set(np.unique(first)) == {0.0, 4.0} and set(np.unique(gradient)) == set(
        np.unique(np.asarray(tf.cast(tf.cast(4 / 3, layer.compute_dtype), "float32"))).tolist() + [0.0]
    )
    assert np.array_equal(first == 0, gradient == 0) and not np.array_equal(first, second)
    kept = first != 0
    deviation = np.sqrt(0.75 * 0.25 / kept.size)
    assert abs(kept.mean() - 0.75) < 4 * deviation  # and no pattern: rows, columns, neighbours
    assert abs(np.mean(kept[:, 1:] & kept[:, :-1]) - 0.75**2) < 6 * deviation
    assert np.abs(kept.mean(axis=0) - 0.75).max() < 5 * np.sqrt(0.75 * 0.25 / len(kept))


@on_cpus
def test_dropout_rounds_the_rate_to_256ths_and_keeps_the_mean():
    outputs = np.asarray(Dropout(0.1, seed=0)(np.ones((1000, 1000), "float32"), training=True))
    assert np.unique(outputs).tolist() == [0.0, pytest.approx(256 / 230)]
    assert outputs.mean() == pytest.approx(1.0, abs=2e-3)


def test_dropout_follows_its_seed_and_does_nothing_in_inference():
    x = np.ones((50, 50), "float32")
    first, again, other = (np.asarray(Dropout(0.5, seed=seed)(x, training=True)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.array_equal(Dropout(0.5)(x), x) and np.array_equal(Dropout(0.0)(x, training=True), x)


@pytest.mark.parametrize("rate", [1e-4, 0.9999])
def test_dropout_with_a_rate_of_no_256th_is_left_to_keras(rate):
    outputs = np.asarray(Dropout(rate, seed=0)(np.ones((1000, 100), "float32"), training=True))
    assert np.mean(outputs == 0) == pytest.approx(rate, abs=3e-4)
