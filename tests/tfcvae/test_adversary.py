import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcvae.adversary import SpectralConv2D, augment, build_adversary, hinge_loss

value = keras.ops.convert_to_numpy


def spectral_layer(**arguments):
    keras.utils.set_random_seed(0)
    layer = SpectralConv2D(4, 3, padding="same", **arguments)
    layer.build((None, 6, 6, 2))
    return layer


def test_the_kernel_is_divided_by_its_largest_singular_value():
    layer = spectral_layer()
    start = value(layer.u).copy()
    layer.normalized_kernel()
    assert np.array_equal(layer.u, start)  # only training moves it on
    for _ in range(60):
        layer.normalized_kernel(training=True)
    largest = np.linalg.svd(value(layer.kernel).reshape(18, 4), compute_uv=False)[0]
    kernel = value(layer.normalized_kernel())
    assert np.allclose(kernel, value(layer.kernel) / largest, atol=1e-4)
    assert np.linalg.svd(kernel.reshape(18, 4), compute_uv=False)[0] == pytest.approx(1, abs=1e-4)
    assert np.linalg.norm(layer.u) == pytest.approx(1, abs=1e-5)


def test_a_call_convolves_with_that_kernel():
    layer = spectral_layer()
    layer.bias.assign([1, 2, 3, 4])
    images = np.random.default_rng(0).random((2, 6, 6, 2), "float32")
    expected = tf.nn.conv2d(images, layer.normalized_kernel(), 1, "SAME") + layer.bias
    assert np.allclose(layer(images), expected, atol=1e-5)
    before = value(layer.u).copy()
    layer(images, training=True)
    assert not np.array_equal(layer.u, before)
    copy = SpectralConv2D.from_config(layer.get_config())
    copy.build((None, 6, 6, 2))
    assert [w.shape for w in copy.weights] == [w.shape for w in layer.weights] and not copy.u.trainable


def test_gradients_pass_through_the_singular_value():
    """Against finite differences, at a `u` that has converged."""
    layer = spectral_layer()
    for _ in range(100):
        layer.normalized_kernel(training=True)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(layer.kernel.shape).astype("float32")
    kernel = value(layer.kernel).copy()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer.normalized_kernel() * weights)
    gradient = value(tape.gradient(total, layer.kernel.value))

    def exact(kernel):
        kernel = kernel.astype("float64")
        return np.sum(kernel / np.linalg.svd(kernel.reshape(18, 4), compute_uv=False)[0] * weights)

    for _ in range(3):
        direction = rng.standard_normal(kernel.shape)
        slope = (exact(kernel + 1e-4 * direction) - exact(kernel - 1e-4 * direction)) / 2e-4
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-3, abs=1e-3)
    assert abs(np.sum(gradient * kernel)) < 1e-3 * np.linalg.norm(gradient) * np.linalg.norm(
        kernel
    )  # size is no matter


def test_the_label_enters_by_projection():
    """A score is linear in the features, and what a label adds is their inner product with its vector."""
    keras.utils.set_random_seed(0)
    adversary = build_adversary((8, 8, 3), 3, "tiny")
    images = np.random.default_rng(0).random((5, 8, 8, 3), "float32")
    labels = np.eye(3, dtype="float32")[[0, 1, 2, 0, 1]]
    pooled = value(keras.Model(adversary.input, adversary.get_layer("pool").output)([images, labels]))
    weights, bias = adversary.get_layer("score").get_weights()
    (vectors,) = adversary.get_layer("class_vector").get_weights()
    expected = pooled @ weights[:, 0] + bias[0] + np.sum(pooled * vectors[[0, 1, 2, 0, 1]], axis=1)
    scores = adversary([images, labels])
    assert scores.shape == (5,) and scores.dtype == "float32" and np.allclose(scores, expected, atol=1e-5)
    # Convolutions 3 -> 8, 8 -> 16 with 4x4, 16 -> 16, each with a bias and one value of `u` a filter; then the label.
    convolutions = (9 * 3 + 2) * 8 + (16 * 8 + 2) * 16 + (9 * 16 + 2) * 16
    assert adversary.count_params() == convolutions + (16 + 1) + 3 * 16


def test_scores_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    adversary = build_adversary((8, 8, 3), 3, "tiny")
    assert adversary.outputs[0].dtype == "float32" and adversary.get_layer("stem").compute_dtype == "float16"
    assert adversary.get_layer("stem").u.dtype == "float32"
    assert np.isfinite(adversary([np.ones((2, 8, 8, 3), "float32"), np.eye(3, dtype="float32")[:2]])).all()


def test_hinge_loss_by_hand():
    # Real scores above 1 and decoded ones below -1 cost nothing: (0 + 0.5 + 2) / 3 and (0 + 1.5) / 2.
    assert float(hinge_loss(np.float32([3, 0.5, -1]), np.float32([-2, 0.5]))) == pytest.approx(2.5 / 3 + 0.75)


def test_an_adversary_learns_what_real_images_of_each_class_look_like():
    """Real images are bright under label 0 and dark under label 1; the decoded ones are the other way round."""
    keras.utils.set_random_seed(0)
    adversary = build_adversary((8, 8, 1), 2, "tiny")
    rng = np.random.default_rng(0)
    bright, dark = 0.8 + 0.2 * rng.random((4, 8, 8, 1)), 0.2 * rng.random((4, 8, 8, 1))
    images = np.concatenate([bright, dark, dark, bright]).astype("float32")
    labels = np.eye(2, dtype="float32")[[0] * 4 + [1] * 4 + [0] * 4 + [1] * 4]
    optimizer = keras.optimizers.Adam(0.01)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            scores = adversary([images, labels], training=True)
            loss = hinge_loss(scores[:8], scores[8:])
        optimizer.apply_gradients(
            zip(tape.gradient(loss, adversary.trainable_variables), adversary.trainable_variables, strict=True)
        )
        return loss

    optimizer.build(adversary.trainable_variables)
    losses = [float(step()) for _ in range(150)]
    scores = value(adversary([images, labels]))
    assert losses[-1] < 0.3 < losses[0] and scores[:8].min() > 0 > scores[8:].max()


def test_known_shifts_and_mirrors():
    images = np.arange(1.0, 13, dtype="float32").reshape(1, 3, 4, 1).repeat(4, axis=0)
    mirrored = np.array([False, False, True, True])
    shifts = np.int32([[0, 0], [1, -2], [0, 0], [-1, 1]])
    out = value(augment(images, mirrored, shifts))[..., 0]
    assert np.array_equal(out[0], [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
    assert np.array_equal(out[1], [[0, 0, 5, 6], [0, 0, 9, 10], [0, 0, 0, 0]])  # one up, two to the right
    assert np.array_equal(out[2], [[4, 3, 2, 1], [8, 7, 6, 5], [12, 11, 10, 9]])
    assert np.array_equal(out[3], [[0, 0, 0, 0], [0, 4, 3, 2], [0, 8, 7, 6]])  # down and to the left, then mirrored
