import math

import numpy as np
import pytest
import tensorflow as tf

from tfnmt.losses import least_loss, token_losses

LABELS = np.array([[4, 2, 0], [3, 0, 0]])
LOGITS = np.random.default_rng(0).standard_normal((2, 3, 6)).astype("float32")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_with_the_smoothed_target(smoothing):
    smoothed, plain, right, real = map(np.array, token_losses(LABELS, LOGITS, smoothing))
    log_p = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    target = (1 - smoothing) * np.eye(6)[LABELS] + smoothing / 6
    mask = LABELS != 0
    np.testing.assert_allclose(smoothed, -(target * log_p).sum(-1) * mask, rtol=1e-5)
    np.testing.assert_allclose(plain, -np.take_along_axis(log_p, LABELS[..., None], -1)[..., 0] * mask, rtol=1e-5)
    assert np.array_equal(right, (LOGITS.argmax(-1) == LABELS) & mask) and 0 < right.sum() < mask.sum()
    assert np.array_equal(real, mask)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_is_softmax_less_target(smoothing):
    logits, factors = tf.constant(LOGITS), np.random.default_rng(1).standard_normal((2, 2, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        smoothed, plain, *_ = token_losses(LABELS, logits, smoothing)
        total = tf.reduce_sum(smoothed * factors[0, ..., 0]) + tf.reduce_sum(plain * factors[1, ..., 0])
    softmax = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    right = np.eye(6)[LABELS]
    of_smoothed = softmax - (1 - smoothing) * right - smoothing / 6
    expected = (of_smoothed * factors[0] + (softmax - right) * factors[1]) * (LABELS != 0)[..., None]
    np.testing.assert_allclose(tape.gradient(total, logits), expected, atol=1e-6)


def test_a_model_to_which_all_words_are_alike_ranks_none_first():
    for logit in (0.0, 0.1, -7.3):
        assert not np.any(token_losses(LABELS, np.full_like(LOGITS, logit))[2])


def test_least_loss_is_reached_by_the_smoothed_target():
    target = 0.9 * np.eye(6)[[[4]]] + 0.1 / 6
    smoothed, *_ = token_losses(np.array([[4]]), np.log(target).astype("float32"), 0.1)
    assert np.array(smoothed).item() == pytest.approx(least_loss(6, 0.1), rel=1e-5)
    assert least_loss(6, 0.0) == 0.0
    assert least_loss(8000, 0.1) == pytest.approx(1.22365, abs=1e-5)
    assert math.isfinite(float(np.max(token_losses(LABELS, LOGITS * 1e4)[0])))
