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
    logits = ops.cast(logits, "float32")
    real = ops.cast(labels != PAD, "float32")
    plain = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True) * real
    uniform = (ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)) * real
    return (1 - smoothing) * plain + smoothing * uniform, plain, real


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
