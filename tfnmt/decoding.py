"""Greedy and beam search, batched, with keys and values kept from step to step.

A search is a `keras.Model`, so that `predict_on_batch` compiles it on every backend, once for each shape of source.

References:
    - Wu et al. 2016, "Google's Neural Machine Translation System" (the length penalty).
"""

import keras
from keras import ops

from tfnmt.layers import padding_mask
from tfnmt.tokenizer import END, PAD, START

NEVER = -1e9
"""The score of what must not be chosen."""


class Kept:
    """Logits of the next token from the last one alone: keys and values of all others are kept.

    Args:
        model: a `tfnmt.model.Transformer`.
        source: integers `(sentences, length)`.
        hypotheses: of each sentence.
        limit: tokens of a target, start included.
    """

    def __init__(self, model, source, hypotheses, limit):
        self.model, self.hypotheses, self.mask = model, hypotheses, padding_mask(source)
        encoded = model.encode(source)
        self.memories = [block.cross_attention.keys_and_values(encoded) for block in model.decoder_blocks]
        rows, size = ops.shape(source)[0] * hypotheses, model.width // model.heads
        empty = ops.zeros((rows, model.heads, limit, size), dtype=model.compute_dtype)
        self.first = tuple((empty, empty) for _ in model.decoder_blocks)

    def logits(self, tokens, position, caches):
        """Float32 logits `(sentences, hypotheses, words)` after the token at `position`, and the caches after it.

        Args:
            tokens: integers `(sentences, hypotheses, limit)`.
        """
        last = ops.take(tokens, position, axis=2)
        x = self.model.embed(ops.reshape(last, (-1, 1)), first=position)
        x, after = ops.reshape(x, (-1, self.hypotheses, self.model.width)), []
        for block, cache, memory in zip(self.model.decoder_blocks, caches, self.memories, strict=True):
            x, cache = block.step(x, cache, position, memory, self.mask)
            after.append(cache)
        return self.model.logits(x), tuple(after)

    def reorder(self, caches, parents):
        """The caches of other hypotheses: integers `(sentences, hypotheses)` say of which."""
        rows = ops.arange(ops.shape(parents)[0], dtype="int32")[:, None] * self.hypotheses + parents
        return tuple(tuple(ops.take(kept, ops.reshape(rows, (-1,)), axis=0) for kept in cache) for cache in caches)


class Recomputed:
    """As `Kept`, but decodes the whole target anew for each token: slow, and what `Kept` is tested against."""

    def __init__(self, model, source, hypotheses, limit):
        self.model, self.hypotheses, self.limit = model, hypotheses, limit
        self.source = ops.repeat(source, hypotheses, axis=0)
        self.memory = model.encode(self.source)
        self.first = ()

    def logits(self, tokens, position, caches):
        logits = self.model.decode(ops.reshape(tokens, (-1, self.limit)), self.memory, self.source)
        last = ops.take(logits, position, axis=1)
        return ops.reshape(last, (-1, self.hypotheses, self.model.vocabulary_size)), caches

    def reorder(self, caches, parents):
        return caches


class Search(keras.Model):
    """What the searches share. `predict_on_batch(source)` translates sentences of one padded length.

    Args:
        model: a `tfnmt.model.Transformer`.
        growth, extra: a target has at most `growth * source length + extra` tokens.
        kept: keep keys and values, or decode everything anew for each token.
    """

    def __init__(self, model, growth=2, extra=8, kept=True):
        super().__init__(name=type(self).__name__.lower())
        self.model, self.growth, self.extra, self.steps = model, growth, extra, Kept if kept else Recomputed
        self.built = True
        self.compile(jit_compile="auto")

    def call(self, source):
        """Integers `(sentences, length)`, padded; returns `(tokens, scores)`: integers `(sentences, limit)`, up to an
        end token where one was found within the limit and then padding, and log-probabilities, float32."""
        limit = self.growth * ops.shape(source)[1] + self.extra
        return self.search(ops.cast(source, "int32"), limit)


class Greedy(Search):
    """The likeliest token at each step."""

    def search(self, source, limit):
        steps = self.steps(self.model, source, 1, limit + 1)
        count = ops.shape(source)[0]
        here = ops.arange(limit + 1, dtype="int32")

        def go_on(position, tokens, scores, ended, caches):
            return ops.logical_and(position < limit, ops.logical_not(ops.all(ended)))

        def step(position, tokens, scores, ended, caches):
            logits, caches = steps.logits(tokens, position, caches)
            log_p = _log_probabilities(logits)[:, 0]
            token = ops.where(ended, PAD, ops.cast(ops.argmax(log_p, axis=-1), "int32"))
            scores = scores + ops.where(ended, 0.0, ops.max(log_p, axis=-1))
            tokens = ops.where(here == position + 1, token[:, None, None], tokens)
            return position + 1, tokens, scores, ops.logical_or(ended, token == END), caches

        first = ops.where(here == 0, START, PAD) * ops.ones((count, 1, 1), dtype="int32")
        state = (ops.zeros((), "int32"), ops.cast(first, "int32"), ops.zeros((count,)), ops.zeros((count,), "bool"))
        _, tokens, scores, _, _ = ops.while_loop(go_on, step, (*state, steps.first))
        return tokens[:, 0, 1:], scores


class Beam(Search):
    """The likeliest translations that a beam finds, by log-probability over a penalty of length.

    At each step the continuations of all hypotheses compete. Those that end the sentence and are among the best `width`
    are set aside; the best `width` of the others go on. A sentence is done when `width` translations are set aside and
    no hypothesis scores better than the worst of them.

    Args:
        width: of the beam; 1 is `Greedy`.
        penalty: a; scores are divided by ((5 + tokens) / 6)^a, so that 0 prefers short translations.
    """

    def __init__(self, model, width=5, penalty=1.0, **kwargs):
        super().__init__(model, **kwargs)
        self.width, self.penalty = width, penalty

    def search(self, source, limit):
        steps, width = self.steps(self.model, source, self.width, limit + 1), self.width
        count, here = ops.shape(source)[0], ops.arange(limit + 1, dtype="int32")

        def go_on(position, alive, done, ended, caches):
            return ops.logical_and(position < limit, ops.logical_not(ops.all(ended)))

        def step(position, alive, done, ended, caches):
            logits, caches = steps.logits(alive[0], position, caches)
            tokens, scores, parents, ends = _continuations(alive, logits, here == position + 1)
            ending = ops.logical_and(ends, ops.arange(2 * width) < width)
            ending = ops.logical_and(ending, ops.logical_not(ended)[:, None])
            finished = ops.where(ending, scores / self._penalty(position + 1), NEVER)
            done = _best(*(ops.concatenate(both, axis=1) for both in zip(done, (tokens, finished), strict=True)), width)
            *alive, parents = _best(tokens, ops.where(ends, NEVER, scores), width, parents)
            hope = alive[1][:, 0] / self._penalty(position + 1)
            ended = ops.logical_or(ended, ops.logical_and(done[1][:, -1] > NEVER / 2, done[1][:, -1] >= hope))
            return position + 1, tuple(alive), tuple(done), ended, steps.reorder(caches, parents)

        first = ops.where(here == 0, START, PAD) * ops.ones((count, width, 1), dtype="int32")
        scores = ops.where(ops.arange(width) == 0, 0.0, NEVER) * ops.ones((count, 1))
        alive = (ops.cast(first, "int32"), scores)
        done = (ops.zeros_like(alive[0]), ops.full_like(scores, NEVER))
        state = (ops.zeros((), "int32"), alive, done, ops.zeros((count,), "bool"), steps.first)
        position, alive, done, _, _ = ops.while_loop(go_on, step, state)
        found = done[1][:, :1] > NEVER / 2  # else the limit cut all hypotheses off
        tokens = ops.where(found, done[0][:, 0], alive[0][:, 0])
        return tokens[:, 1:], ops.where(found, done[1][:, :1], alive[1][:, :1] / self._penalty(position))[:, 0]

    def _penalty(self, tokens):
        return ((5.0 + ops.cast(tokens, "float32")) / 6.0) ** self.penalty


def _log_probabilities(logits):
    """Log-probabilities in which padding and the start token can't follow."""
    impossible = ops.logical_or(ops.arange(logits.shape[-1]) == PAD, ops.arange(logits.shape[-1]) == START)
    return ops.where(impossible, NEVER, ops.log_softmax(logits, axis=-1))


def _continuations(alive, logits, here):
    """The best continuations of all hypotheses together, twice as many as there are hypotheses, the best first.

    Args:
        alive: `(tokens, scores)` of the hypotheses.
        logits: float32 `(sentences, hypotheses, words)` of what follows each.
        here: bool `(limit,)`, True at the position of the token to add.

    Returns:
        `(tokens, scores, parents, ends)`: integers `(sentences, 2 * hypotheses, limit)`, float32, which hypothesis it
        continues, and whether the added token ends the sentence, each `(sentences, 2 * hypotheses)`.
    """
    tokens, scores = alive
    width, words = tokens.shape[1], logits.shape[-1]
    total = ops.expand_dims(scores, -1) + _log_probabilities(logits)
    scores, chosen = ops.top_k(ops.reshape(total, (-1, width * words)), 2 * width)
    chosen = ops.cast(chosen, "int32")
    parents, added = chosen // words, chosen % words
    tokens = ops.where(here, ops.expand_dims(added, -1), _gather(tokens, parents))
    return tokens, scores, parents, added == END


def _best(tokens, scores, count, *others):
    """The `count` rows of each sentence with the best scores, the best first."""
    scores, chosen = ops.top_k(scores, count)
    chosen = ops.cast(chosen, "int32")
    return _gather(tokens, chosen), scores, *(ops.take_along_axis(other, chosen, axis=1) for other in others)


def _gather(tokens, rows):
    return ops.take_along_axis(tokens, ops.expand_dims(rows, -1), axis=1)
