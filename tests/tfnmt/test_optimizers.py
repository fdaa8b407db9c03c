import keras
import numpy as np
import pytest
import tensorflow as tf

from tfnmt.optimizers import Adam

RATES = (0.01, 0.9, 0.98, 1e-9)


def trained(optimizer, compiled):
    """Two variables and an embedding's after three steps, and the optimizer's state."""
    rng = np.random.default_rng(0)
    shapes = (3, 4), (5,), (6, 2)
    variables = [keras.Variable(rng.normal(size=shape), dtype="float32") for shape in shapes]
    optimizer.build(variables)

    def step(*gradients):
        rows = tf.IndexedSlices(gradients[2], tf.constant([4, 1, 0]), tf.constant(shapes[2], "int64"))
        optimizer.apply([*gradients[:2], rows], variables)

    step = tf.function(step) if compiled else step
    for _ in range(3):
        step(*[tf.constant(rng.normal(size=shape), "float32") for shape in (*shapes[:2], (3, 2))])
    return [np.asarray(variable) for variable in [*variables, *optimizer.variables]]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("options", [{}, {"global_clipnorm": 1.0, "use_ema": True, "ema_momentum": 0.5}])
def test_weights_and_state_are_those_of_keras_after_three_steps(options, compiled):
    expected = trained(keras.optimizers.Adam(*RATES, **options), compiled)
    found = trained(Adam(*RATES, **options), compiled)
    assert found[-1].shape == expected[-1].shape and len(found) == len(expected)
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-7)


def test_the_first_step_moves_each_weight_by_the_rate_against_its_gradient():
    weight = keras.Variable(np.array([1.0, 2.0, 3.0]), dtype="float32")
    optimizer = Adam(0.25)
    optimizer.build([weight])
    optimizer.apply([tf.constant([5.0, -0.1, 0.0])], [weight])
    assert np.asarray(weight) == pytest.approx([0.75, 2.25, 3.0], abs=1e-5)
    assert int(optimizer.iterations) == 1


@pytest.mark.parametrize("options, dtype", [({"amsgrad": True}, "float32"), ({}, "float64")])
def test_what_the_kernel_does_not_do_is_left_to_keras(options, dtype):
    found = []
    for kind in (Adam, keras.optimizers.Adam):
        weight, optimizer = keras.Variable(np.ones(2), dtype=dtype), kind(0.1, **options)
        optimizer.build([weight])
        for size in (3.0, -1.0):
            optimizer.apply([tf.constant([size, 2.0], dtype)], [weight])
        found.append(np.asarray(weight))
    assert np.array_equal(*found)
