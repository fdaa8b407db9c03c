"""The transformer: a `keras.Model` from source and target tokens to logits, whose loss counts real tokens only.

References:
    - Vaswani et al. 2017, "Attention Is All You Need".
    - Press & Wolf 2017, "Using the Output Embedding to Improve Language Models" (embeddings shared with the output).
"""

import math

import keras
from keras import ops

from tfnmt.fast_layers import Dropout, LayerNormalization
from tfnmt.layers import NORMS, DecoderBlock, EncoderBlock, causal_mask, padding_mask, positional_encoding
from tfnmt.losses import token_losses


@keras.saving.register_keras_serializable("tfnmt")
class Transformer(keras.Model):
    """Encoder and decoder of `layers` blocks each, with one embedding for source, target and output.

    Train it with `compile(optimizer)` and `fit`, where a batch is `({"source": ..., "target": ...}, labels)`, integers
    `(batch, length)`: the source, the target behind a start token, and the target followed by an end token. Both steps
    log, a real token: `loss`, the smoothed cross-entropy, and `cross_entropy`, without smoothing, in nats; and
    `accuracy`, the share of the tokens that the model ranks first.

    Args:
        vocabulary_size: tokens of the shared vocabulary.
        layers: blocks of the encoder, and of the decoder (N).
        width: features of a token (d_model), even and divisible by `heads`.
        heads: of each attention.
        feed_forward: hidden units of each feed-forward sublayer (d_ff).
        dropout: rate after each sublayer and on the sums of embeddings and positions.
        norm: one of `tfnmt.layers.NORMS`.
        label_smoothing: of the loss; see `tfnmt.losses.token_losses`.
        dtype: precision policy; the global one by default. Logits and losses are float32 under each.

    Raises:
        ValueError: for a number or name that no model can be built with.

    Example:

    >>> model = Transformer(300, layers=1, width=16, heads=2, feed_forward=32)
    >>> tokens = np.array([[5, 6, 2]])
    >>> model({"source": tokens, "target": tokens}).shape
    TensorShape([1, 3, 300])
    """

    def __init__(
        self,
        vocabulary_size,
        layers=6,
        width=512,
        heads=8,
        feed_forward=128,
        dropout=0.1,
        norm="pre",
        label_smoothing=0.1,
        **kwargs,
    ):
        super().__init__(**{"name": "transformer", **kwargs})
        _check(vocabulary_size=vocabulary_size, layers=layers, width=width, heads=heads, feed_forward=feed_forward)
        if norm not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(NORMS)}. Received: norm={norm!r}")
        if width % heads or width % 2:
            raise ValueError(f"width must be even and divisible by heads. Received: width={width!r}, heads={heads!r}")
        for name, value in (("dropout", dropout), ("label_smoothing", label_smoothing)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must lie in [0, 1). Received: {name}={value!r}")
        self.vocabulary_size, self.blocks, self.width, self.heads = vocabulary_size, layers, width, heads
        self.feed_forward, self.rate, self.norm, self.label_smoothing = feed_forward, dropout, norm, label_smoothing
        self._add_parts()
        self.trackers = {name: keras.metrics.Mean(name=name) for name in ("loss", "cross_entropy", "accuracy")}
        self.built = True

    def _add_parts(self):
        own = {"dtype": self.dtype_policy}
        self.embedding = keras.layers.ReversibleEmbedding(
            self.vocabulary_size,
            self.width,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=self.width**-0.5),
            reverse_dtype="float32",
            name="embedding",
            **own,
        )
        self.embedding.build(None)
        options = (self.width, self.heads, self.feed_forward, self.rate, self.norm)
        count = range(self.blocks)
        self.encoder_blocks = [EncoderBlock(*options, name=f"encoder_{i}", **own) for i in count]
        self.decoder_blocks = [DecoderBlock(*options, name=f"decoder_{i}", **own) for i in count]
        for block in self.encoder_blocks + self.decoder_blocks:
            block.build()
        self.input_dropouts = [Dropout(self.rate, **own) for _ in range(2)]
        self.last_norms = []
        if self.norm == "pre":  # the sum of all residuals has not been normalized yet
            self.last_norms = [LayerNormalization(epsilon=1e-5, **own) for _ in range(2)]
            for norm in self.last_norms:
                norm.build((None, None, self.width))

    def get_config(self):
        names = ("vocabulary_size", "width", "heads", "feed_forward", "norm", "label_smoothing")
        config = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **config, "layers": self.blocks, "dropout": self.rate}

    def embed(self, tokens, first=0):
        """Embeddings times sqrt(width), plus positional encodings; the first token's position is `first`."""
        positions = first + ops.arange(ops.shape(tokens)[1])
        embedded = self.embedding(tokens) * math.sqrt(self.width)
        return embedded + ops.cast(positional_encoding(positions, self.width), self.compute_dtype)

    def encode(self, source, training=False):
        """The source, integers `(batch, length)`, encoded: `(batch, length, width)`."""
        x, mask = self.input_dropouts[0](self.embed(source), training=training), padding_mask(source)
        for block in self.encoder_blocks:
            x = block(x, mask, training=training)
        return self._last(0, x)

    def decode(self, target, memory, source, training=False):
        """Logits for what follows each target token.

        Args:
            target: integers `(batch, length)`, from the start token on.
            memory: what `encode` returns for `source`.

        Returns:
            Float32 `(batch, length, vocabulary_size)`.
        """
        x = self.input_dropouts[1](self.embed(target), training=training)
        mask, memory_mask = causal_mask(ops.shape(target)[1]), padding_mask(source)
        for block in self.decoder_blocks:
            x = block(x, memory, mask, memory_mask, training=training)
        return self.logits(x)

    def logits(self, x):
        """Float32 logits of decoded tokens `(..., width)`."""
        return self.embedding(self._last(1, x), reverse=True)

    def cross_attention(self, source, target):
        """What each target token looks at in the source, in the last block: `(batch, heads, target, source)`."""
        memory, x = self.encode(source), self.embed(target)
        mask, memory_mask = causal_mask(ops.shape(target)[1]), padding_mask(source)
        for block in self.decoder_blocks:
            x, weights = block(x, memory, mask, memory_mask, scores=True)
        return weights

    def _last(self, side, x):
        return self.last_norms[side](x) if self.last_norms else x

    def call(self, inputs, training=False):
        source = inputs["source"]
        return self.decode(inputs["target"], self.encode(source, training), source, training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of a batch, the mean of the smoothed cross-entropy over its real tokens; updates the metrics."""
        smoothed, plain, right, real = token_losses(y, y_pred, self.label_smoothing)
        for name, values in (("loss", smoothed), ("cross_entropy", plain), ("accuracy", right)):
            self.trackers[name].update_state(values, sample_weight=real)
        return ops.sum(smoothed) / ops.maximum(ops.sum(real), 1.0)

    @property
    def metrics(self):
        return list(self.trackers.values())


def _check(**numbers):
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1. Received: {name}={value!r}")
