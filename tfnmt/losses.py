"""Cross-entropy over the real tokens of a batch, with label smoothing (Szegedy et al. 2016) and without."""

from keras import ops

from tfnmt.tokenizer import PAD


def token_losses(labels, logits, smoothing=0.1):
    """Losses token by token, in nats.

    With label smoothing e over V words, the target is 1 - e + e/V for the right word and e/V for every other, and the
    loss is its cross-entropy with the model: (1 - e) * -log p(right) + e * mean over all words of -log p(word).

    Args:
        labels: integers `(batch, length)`.
        logits: `(batch, length, V)`.
        smoothing: e, in [0, 1).

    Returns:
        `(smoothed, plain, real)`, float32 `(batch, length)`: the smoothed loss, the cross-entropy, and 1 where a token
        is real, 0 where it is padding; there, the losses are 0.
    """
    real = ops.cast(labels != PAD, "float32")
    smoothed, plain = ops.unstack(_cross_entropies(labels, ops.cast(logits, "float32"), smoothing), 2)
    return smoothed * real, plain * real, real


def _cross_entropies(labels, logits, smoothing):
    """The smoothed and the plain cross-entropy of all tokens, float32 `(2, batch, length)`.

    Their gradients are in closed form: softmax less target. Composed of elementwise operations, which each read and
    write logits of the whole vocabulary, forward and backward take much longer on CPUs.
    """
    words, of_labels = logits.shape[-1], ops.expand_dims(ops.cast(labels, "int32"), -1)

    @ops.custom_gradient
    def run(logits):
        largest = ops.max(logits, axis=-1, keepdims=True)
        shares = ops.exp(logits - largest)
        total = ops.sum(shares, axis=-1, keepdims=True)
        right = ops.take_along_axis(logits, of_labels, axis=-1)
        plain = ops.log(total) + largest - right
        smoothed = plain + smoothing * (right - ops.mean(logits, axis=-1, keepdims=True))

        def gradient(upstream):
            of_smoothed, of_plain = ops.unstack(ops.expand_dims(upstream, -1), 2)
            other = of_smoothed * smoothing / words
            chosen = of_smoothed * (1 - smoothing) + other + of_plain
            target = ops.where(ops.equal(ops.arange(words, dtype="int32"), of_labels), chosen, other)
            return shares * ((of_smoothed + of_plain) / total) - target

        return ops.squeeze(ops.stack([smoothed, plain]), -1), gradient

    return run(logits)


def least_loss(vocabulary_size, smoothing=0.1):
    """The smallest smoothed loss that a model can have: the entropy of the smoothed target, in nats, as a float.

    Example:

    >>> round(least_loss(8000, 0.1), 3)
    1.224
    """
    import math

    others = smoothing / vocabulary_size
    right = 1 - smoothing + others
    return -right * math.log(right) - (vocabulary_size - 1) * others * (math.log(others) if others else 0.0)
