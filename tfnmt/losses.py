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
        `(smoothed, plain, right, real)`, float32 `(batch, length)`: the smoothed loss, the cross-entropy, 1 where no
        word has a larger logit than the right one and some have a smaller one, and 1 where a token is real, 0 where it
        is padding; there, all are 0.
    """
    real = ops.cast(labels != PAD, "float32")
    smoothed, plain, right = ops.unstack(_cross_entropies(labels, ops.cast(logits, "float32"), smoothing), 3)
    return smoothed * real, plain * real, right * real, real


def _cross_entropies(labels, logits, smoothing):
    """The smoothed and the plain cross-entropy of all tokens, and whether each is ranked first, float32
    `(3, batch, length)`.

    Gradients are in closed form: softmax less target, and the target is the same for all words but the right one.
    Composed of elementwise operations, which each read and write logits of the whole vocabulary, forward and backward
    take much longer on CPUs; so does `ops.argmax`.
    """
    words, labels = logits.shape[-1], ops.cast(labels, "int32")
    of_labels = ops.expand_dims(labels, -1)

    @ops.custom_gradient
    def run(logits):
        largest = ops.max(logits, axis=-1, keepdims=True)
        shares = ops.exp(logits - largest)
        total = ops.sum(shares, axis=-1, keepdims=True)
        right = ops.take_along_axis(logits, of_labels, axis=-1)
        plain = ops.log(total) + largest - right
        smoothed = plain + smoothing * (right - ops.mean(logits, axis=-1, keepdims=True))
        first = ops.cast((right >= largest) & (total < words), logits.dtype)  # none is where all words are alike

        def gradient(upstream):
            of_smoothed, of_plain, _ = ops.unstack(ops.expand_dims(upstream, -1), 3)
            scale, other = (of_smoothed + of_plain) / total, of_smoothed * smoothing / words
            at_right = ops.exp(right - largest) * scale - other - of_smoothed * (1 - smoothing) - of_plain
            rows, columns = ops.reshape(shares * scale - other, (-1, words)), ops.reshape(labels, (-1,))
            places = ops.stack([ops.arange(ops.size(columns), dtype="int32"), columns], axis=1)
            return ops.reshape(ops.scatter_update(rows, places, ops.reshape(at_right, (-1,))), ops.shape(logits))

        return ops.squeeze(ops.stack([smoothed, plain, first]), -1), gradient

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
