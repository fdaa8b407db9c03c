import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcvae.layers import LabelEmbedding, LabelModulation, check_labels, reparameterise, soft_bound

POLICIES = ["float32", "mixed_bfloat16", "mixed_float16"]


@pytest.mark.parametrize("policy", POLICIES)
def test_integers_and_one_hot_vectors_give_the_rows_of_the_table(policy):
    keras.config.set_dtype_policy(policy)
    embed = LabelEmbedding(4, 3)
    labels = np.array([2, 0, 3, 3])
    from_integers, from_one_hot = embed(labels), embed(np.eye(4, dtype="float32")[labels])
    assert from_integers.shape == (4, 3) and from_integers.dtype == embed.compute_dtype
    assert np.array_equal(from_integers, from_one_hot)
    expected = tf.cast(np.asarray(embed.table)[labels], embed.compute_dtype)
    assert np.array_equal(from_integers, expected)


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.array([0, 4]), r"in \[0, 4\). Received: 4"),
        (np.array([1.5]), r"whole numbers in \[0, 4\). Received: 1.5"),
        (np.eye(5), r"one-hot vectors of shape \(batch, 4\). Received: shape=\(5, 5\)"),
        (np.zeros((2, 1), int), r"Received: shape=\(2, 1\)"),
        (np.int64(3), r"Received: shape=\(\)"),
    ],
)
def test_wrong_labels_are_errors_that_say_what_was_received(labels, message):
    for check in (lambda: check_labels(labels, 4), lambda: LabelEmbedding(4, 3)(labels)):
        with pytest.raises(ValueError, match=message):
            check()


@pytest.mark.parametrize("xla", [False, True])
def test_an_unknown_label_is_nan_inside_a_compiled_function(xla):
    embed = LabelEmbedding(4, 3)
    vectors = tf.function(embed, jit_compile=xla)(tf.constant([3, 4, -1, 0])).numpy()
    np.testing.assert_allclose(vectors[[0, 3]], embed(np.array([3, 0])), rtol=1e-6)
    assert np.isnan(vectors[[1, 2]]).all()


def test_modulation_is_the_identity_at_first_then_scale_and_shift_of_each_channel():
    modulate = LabelModulation()
    features = np.arange(8, dtype="float32").reshape(1, 2, 2, 2)
    embedding = np.array([[1.0, 2.0]], "float32")
    assert np.array_equal(modulate([features, embedding]), features)
    # Scales 1 * 0.5 and 2 * 0.25, both 0.5; shifts 1 * 10 + 7 and 2 * 10 - 7.
    kernel = np.array([[0.5, 0, 10, 0], [0, 0.25, 0, 10]], "float32")
    modulate.project.set_weights([kernel, np.array([0, 0, 7, -7], "float32")])
    assert np.allclose(modulate([features, embedding]), 1.5 * features + [17, 13])


def test_reparameterise_by_hand_and_in_float32():
    mean, log_variance = np.array([1.0, -2.0]), np.log([4.0, 9.0])
    draw = reparameterise(mean, log_variance, np.array([0.5, -1.0]))
    assert np.allclose(draw, [1 + 2 * 0.5, -2 - 3])
    halves = [tf.cast([0.3], "bfloat16")] * 3
    assert reparameterise(*halves).dtype == "float32"


def test_soft_bound_stays_below_its_limit_and_keeps_small_values_and_gradients():
    x = tf.constant([-1e4, -1.0, 0.0, 0.01, 15.0, 1e4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        bounded = soft_bound(x, 10.0)
    assert np.allclose(bounded, [-10, 10 * np.tanh(-0.1), 0, 0.01, 10 * np.tanh(1.5), 10], atol=1e-5)
    assert np.allclose(tape.gradient(bounded, x)[2], 1)
    assert soft_bound(tf.zeros(1, "float16"), 1.0).dtype == "float32"
