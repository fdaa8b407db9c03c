"""The transformer's parts: positional encoding, attention that can be cached, encoder and decoder blocks.

References:
    - Vaswani et al. 2017, "Attention Is All You Need".
    - Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture" (pre-norm).
"""

import math

import keras
from keras import ops

from tfnmt.fast_layers import Dropout, LayerNormalization
from tfnmt.tokenizer import PAD

NORMS = ("pre", "post")
"""Where layer normalization stands: before each sublayer, with the residual around both, or after the residual sum."""

MASKED = -1e9
"""Logit of a key that a query may not look at."""


def positional_encoding(positions, depth):
    """Sines and cosines of positions: PE(p, 2i) = sin(p / 10000^(2i/depth)), PE(p, 2i+1) = cos of the same.

    Here the sines fill the first half of the features and the cosines the second, which is the same up to their order.

    Args:
        positions: integers `(length,)`, from 0.
        depth: number of features, even.

    Returns:
        Float32 `(length, depth)` in [-1, 1].
    """
    rates = ops.exp(ops.arange(depth // 2, dtype="float32") * (-2 * math.log(10000.0) / depth))
    angles = ops.expand_dims(ops.cast(positions, "float32"), 1) * rates
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def padding_mask(tokens):
    """Which keys any query may look at: bool `(batch, 1, length)`, False at padding."""
    return ops.expand_dims(tokens != PAD, 1)


def causal_mask(length):
    """Which keys a query may look at, its own and those before: bool `(1, length, length)`."""
    positions = ops.arange(length)
    return ops.expand_dims(ops.expand_dims(positions, 1) >= positions, 0)


@keras.saving.register_keras_serializable("tfnmt")
class Attention(keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention` in two halves, so that keys and values can be kept while decoding.

    Weights are float32 under each precision. A query that may look at no key attends to all alike.
    """

    def keys_and_values(self, memory):
        """Keys and values of `(batch, length, width)`, each `(batch, heads, length, width / heads)`."""
        return heads_of([self.key_dense, self.value_dense], memory)

    def attend(self, query, keys, values, mask, scores=False):
        """Attention of `(batch, queries, width)` to kept keys and values under a bool mask `(batch, queries, length)`;
        with `scores`, `(attended, weights)`, where weights are `(batch, heads, queries, length)`."""
        (query,) = heads_of([self.query_dense], query)
        return self._attend(query, keys, values, mask, scores)

    def _attend(self, query, keys, values, mask, scores):
        logits = ops.cast(ops.einsum("bnqh,bnkh->bnqk", query, keys), "float32") / math.sqrt(self.key_dim)
        logits = ops.where(ops.expand_dims(mask, 1), logits, MASKED)
        alone = logits.shape[-1] == 1  # a single key gets all attention; Keras would warn of its softmax
        weights = ops.ones_like(logits) if alone else ops.softmax(logits)
        found = ops.einsum("bnqk,bnkh->bnqh", ops.cast(weights, values.dtype), values)
        found = ops.transpose(found, (0, 2, 1, 3))
        attended = self.output_dense(ops.reshape(found, (1, -1, *found.shape[2:])))  # all tokens as one sentence's
        attended = ops.reshape(attended, (*ops.shape(found)[:2], attended.shape[-1]))
        return (attended, weights) if scores else attended

    def call(self, query, memory, mask, scores=False):
        """Attention of `(batch, queries, width)` to `(batch, length, width)`, or where `memory` is None to itself; see
        `attend`."""
        if memory is not None:
            return self.attend(query, *self.keys_and_values(memory), mask, scores)
        own = heads_of([self.query_dense, self.key_dense, self.value_dense], query)
        return self._attend(*own, mask, scores)


def heads_of(projections, x):
    """Several projections of the same tokens, in one matrix product, whose gradient of all weights is one, too.

    On CPUs, one product of wide matrices takes less time than several of narrow ones. With a batch axis, TensorFlow
    would compute the gradient of the weights for each sentence and add them up, so all tokens are as one sentence's.

    Args:
        projections: built `keras.layers.EinsumDense`, whose weights are `(width, heads, size)` and `(heads, size)`.
        x: `(batch, length, width)`.

    Returns:
        List of `(batch, heads, length, size)`: products of heads need them so, and none has to transpose them again.
    """
    batch, length, width = ops.shape(x)
    heads, size = projections[0].kernel.shape[1:]
    dtype = projections[0].compute_dtype
    kernels = [ops.reshape(ops.cast(dense.kernel, dtype), (width, -1)) for dense in projections]
    biases = [ops.reshape(ops.cast(dense.bias, dtype), (-1,)) for dense in projections]
    x = ops.reshape(ops.cast(x, dtype), (-1, width))
    projected = ops.add(ops.matmul(x, ops.concatenate(kernels, axis=1)), ops.concatenate(biases, axis=0))
    projected = ops.reshape(projected, (batch, length, len(projections), heads, size))
    return ops.unstack(ops.transpose(projected, (2, 0, 3, 1, 4)), len(projections))


class Block(keras.layers.Layer):
    """What encoder and decoder blocks share: sublayers, each with a residual, layer normalization and dropout.

    Args:
        width: features of a token (d_model), divisible by `heads`.
        heads: of each attention.
        feed_forward: hidden units of the feed-forward sublayer (d_ff).
        dropout: rate after each sublayer.
        norm: one of `NORMS`.
    """

    sublayers = 0

    def __init__(self, width, heads, feed_forward, dropout=0.1, norm="pre", **kwargs):
        super().__init__(**kwargs)
        self.width, self.heads, self.feed_forward = width, heads, feed_forward
        self.rate, self.norm = dropout, norm
        own = {"dtype": self.dtype_policy}
        self.norms = [LayerNormalization(epsilon=1e-5, **own) for _ in range(self.sublayers)]
        self.dropouts = [Dropout(dropout, **own) for _ in range(self.sublayers)]
        self.hidden = keras.layers.Dense(feed_forward, activation="relu", **own)
        self.out = keras.layers.Dense(width, **own)
        shape = (None, None, width)
        for norm_layer in self.norms:
            norm_layer.build(shape)
        self.hidden.build(shape)
        self.out.build((None, None, feed_forward))

    def _attention(self):
        attention = Attention(self.heads, self.width // self.heads, dtype=self.dtype_policy)
        attention.build((None, None, self.width), (None, None, self.width))
        return attention

    def _add(self, index, x, sublayer, training):
        """A sublayer, a function, with its residual."""
        if self.norm == "pre":
            return x + self.dropouts[index](sublayer(self.norms[index](x)), training=training)
        return self.norms[index](x + self.dropouts[index](sublayer(x), training=training))

    def _feed_forward(self, x):
        return self.out(self.hidden(x))

    def build(self, *_):
        self.built = True

    def get_config(self):
        config = {name: getattr(self, name) for name in ("width", "heads", "feed_forward", "norm")}
        return {**super().get_config(), **config, "dropout": self.rate}


@keras.saving.register_keras_serializable("tfnmt")
class EncoderBlock(Block):
    """Self-attention over the source, then the feed-forward sublayer."""

    sublayers = 2

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.attention = self._attention()

    def call(self, x, mask, training=False):
        """Float `(batch, length, width)` under a bool mask `(batch, 1, length)`; returns the same shape."""
        x = self._add(0, x, lambda y: self.attention(y, None, mask), training)
        return self._add(1, x, self._feed_forward, training)


@keras.saving.register_keras_serializable("tfnmt")
class DecoderBlock(Block):
    """Self-attention over the target so far, attention to the encoded source, then the feed-forward sublayer."""

    sublayers = 3

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.attention, self.cross_attention = self._attention(), self._attention()

    def call(self, x, memory, mask, memory_mask, training=False, scores=False):
        """A pass over a whole target.

        Args:
            x: float `(batch, length, width)`, and `memory`, the encoded source, `(batch, source length, width)`.
            mask: bool, broadcastable to `(batch, length, length)`, and `memory_mask` to
                `(batch, length, source length)`.
            scores: return `(x, weights)`, with those of the cross-attention, `(batch, heads, length, source length)`.
        """
        found = []

        def cross(y):
            y = self.cross_attention(y, memory, memory_mask, scores=scores)
            if scores:
                found.append(y[1])
            return y[0] if scores else y

        x = self._add(0, x, lambda y: self.attention(y, None, mask), training)
        x = self._add(2, self._add(1, x, cross, training), self._feed_forward, training)
        return (x, found[0]) if scores else x

    def step(self, x, cache, position, memory, memory_mask):
        """A pass over one token of each hypothesis, given what is kept of those before.

        Args:
            x: float `(sentences, hypotheses, width)`, one token each.
            cache: `(keys, values)` of the self-attention, each `(sentences * hypotheses, heads, limit, size)`.
            position: of the token, an integer scalar.
            memory: keys and values of the cross-attention, `(sentences, heads, source length, size)`; all hypotheses of
                a sentence share them.
            memory_mask: bool `(sentences, 1, source length)`.

        Returns:
            `(x, cache)`, of the same shapes.
        """
        shape, kept = ops.shape(x), []

        def self_attention(y):
            y = ops.reshape(y, (-1, 1, self.width))
            here = ops.arange(ops.shape(cache[0])[2])
            dense = self.attention.key_dense, self.attention.value_dense
            own = [heads_of([part], y)[0] for part in dense]  # of a few tokens; joining the weights would take longer
            for old, new in zip(cache, own, strict=True):
                kept.append(ops.where(ops.reshape(here == position, (1, 1, -1, 1)), new, old))
            mask = ops.reshape(here <= position, (1, 1, -1))
            return ops.reshape(self.attention.attend(y, *kept, mask), shape)

        x = self._add(0, x, self_attention, False)
        x = self._add(1, x, lambda y: self.cross_attention.attend(y, *memory, memory_mask), False)
        return self._add(2, x, self._feed_forward, False), tuple(kept)
