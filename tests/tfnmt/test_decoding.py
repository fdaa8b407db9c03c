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


@pytest.fixture(scope="module")
def beam(model):
    return Beam(model, 3).predict_on_batch(SOURCE)


def log_probabilities(model, source, tokens):
    """Of each token after those before it, impossible ones left out: float `(batch, length, words)`."""
    target = np.concatenate([np.full((len(tokens), 1), START), tokens[:, :-1]], axis=1)
    log_p = np.array(ops.log_softmax(model({"source": source, "target": target}), axis=-1))
    log_p[..., [PAD, START]] = -np.inf
    return log_p


def test_greedy_takes_the_likeliest_token(model, greedy):
    tokens, scores = greedy
    assert tokens.shape == (3, 18) and len({tuple(row) for row in tokens.tolist()}) > 1  # sources matter
    log_p, real = log_probabilities(model, SOURCE, tokens), tokens != PAD
    assert np.array_equal(log_p.argmax(-1)[real], tokens[real])
    np.testing.assert_allclose(scores, np.where(real, log_p.max(-1), 0).sum(1), rtol=1e-4)
    lengths = real.sum(1)
    assert all(row[n - 1] == END or n == 18 for row, n in zip(tokens, lengths, strict=True))
    assert all(END not in row[: n - 1] and row[:n].all() for row, n in zip(tokens, lengths, strict=True))


def test_a_beams_score_is_its_translations(model, beam):
    tokens, scores = beam
    log_p = np.take_along_axis(log_probabilities(model, SOURCE, tokens), tokens[..., None], axis=-1)[..., 0]
    lengths = (tokens != PAD).sum(1)
    total = np.where(tokens != PAD, log_p, 0).sum(1)
    np.testing.assert_allclose(scores, total / ((5 + lengths) / 6), rtol=1e-4)


@pytest.mark.parametrize("name", ["greedy", "beam"])
def test_kept_keys_and_values_change_nothing(model, name, request):
    search = Greedy(model, kept=False) if name == "greedy" else Beam(model, 3, kept=False)
    kept, recomputed = request.getfixturevalue(name), search.predict_on_batch(SOURCE)
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


@pytest.mark.parametrize("policy, search", [("mixed_bfloat16", Greedy), ("mixed_float16", Beam)])
def test_half_precision(policy, search):
    tokens, scores = search(build(policy)).predict_on_batch(SOURCE)
    assert np.isfinite(scores).all() and ((tokens >= 0) & (tokens != START)).all()
    ended = np.cumsum(tokens == END, axis=1) > 0
    assert (tokens[:, 1:][ended[:, :-1]] == PAD).all()  # nothing after the end
