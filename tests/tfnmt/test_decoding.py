"""Greedy and beam search against themselves without kept keys and values, and against a search of everything."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from tfnmt.decoding import Beam, Greedy
from tfnmt.model import Transformer
from tfnmt.tokenizer import END, PAD, START

SOURCE = np.array([[5, 6, 7, END, PAD], [8, END, PAD, PAD, PAD], [9, 4, 3, 5, END]], "int32")


def build(policy="float32", words=10):
    """A transformer whose choices vary, and that ends some sentences early."""
    keras.utils.set_random_seed(3)
    model = Transformer(words, layers=2, width=16, heads=2, feed_forward=24, dtype=policy)
    rng = np.random.default_rng(1)
    model.set_weights([w + 0.3 * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def greedy(model):
    return Greedy(model).predict_on_batch(SOURCE)


def test_greedy_takes_the_likeliest_token(model, greedy):
    tokens, scores = greedy
    assert tokens.shape == (3, 18)
    for source, row, score in zip(SOURCE, tokens, scores, strict=True):
        target, total = [START], 0.0
        while len(target) <= 18 and target[-1] != END:
            logits = np.array(model({"source": source[None], "target": np.array([target])}))[0, -1]
            log_p = np.array(ops.log_softmax(logits))
            log_p[[PAD, START]] = -np.inf
            target.append(int(log_p.argmax()))
            total += log_p.max()
        assert row.tolist() == target[1:] + [PAD] * (19 - len(target))
        assert score == pytest.approx(total, rel=1e-4)
    assert len({tuple(row) for row in tokens.tolist()}) > 1  # sources matter


@pytest.mark.parametrize("make", [Greedy, lambda model, **options: Beam(model, 3, **options)])
def test_kept_keys_and_values_change_nothing(model, make):
    kept, recomputed = (make(model, kept=kept).predict_on_batch(SOURCE) for kept in (True, False))
    assert np.array_equal(kept[0], recomputed[0])
    np.testing.assert_allclose(kept[1], recomputed[1], rtol=1e-4)


def test_a_beam_of_one_is_greedy(model, greedy):
    tokens, scores = Beam(model, 1, penalty=0.0).predict_on_batch(SOURCE)
    assert np.array_equal(tokens, greedy[0])
    np.testing.assert_allclose(scores, greedy[1], rtol=1e-4)


def test_padding_changes_nothing(model):
    longer = np.pad(SOURCE, ((0, 1), (0, 4)))
    search = Beam(model, 3, growth=0, extra=12)
    short, padded = search.predict_on_batch(SOURCE), search.predict_on_batch(longer)
    assert np.array_equal(short[0], padded[0][:3])
    np.testing.assert_allclose(short[1], padded[1][:3], rtol=1e-4)


def test_a_wide_beam_finds_the_best_of_all():
    model, limit, penalty = build(words=6), 3, 0.7
    words = [2, 3, 4, 5]
    tokens, scores = Beam(model, 16, penalty, growth=0, extra=limit).predict_on_batch(SOURCE[:1, :4] % 6)
    best = -np.inf
    for length in range(1, limit + 1):
        for head in itertools.product(words[1:], repeat=length - 1):
            target = np.array([[START, *head, END]])
            logits = model({"source": SOURCE[:1, :4] % 6, "target": target[:, :-1]})
            log_p = np.array(ops.log_softmax(logits, axis=-1))[0]
            score = log_p[np.arange(length), target[0, 1:]].sum() / ((5 + length) / 6) ** penalty
            if score > best:
                best, sentence = score, target[0, 1:].tolist()
    assert tokens[0].tolist() == sentence + [PAD] * (limit - len(sentence))
    assert scores[0] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(policy):
    for search in (Greedy(build(policy)), Beam(build(policy), 3)):
        tokens, scores = search.predict_on_batch(SOURCE)
        assert np.isfinite(scores).all() and ((tokens >= 0) & (tokens != START)).all()
        ended = np.cumsum(tokens == END, axis=1) > 0
        assert (tokens[:, 1:][ended[:, :-1]] == PAD).all()  # nothing after the end
