import keras
import numpy as np
import pytest

from tfnmt.losses import token_losses
from tfnmt.model import Transformer
from tfnmt.tokenizer import END, PAD, START

SMALL = {"layers": 2, "width": 16, "heads": 2, "feed_forward": 24}
SOURCE = np.array([[5, 6, 7, END, PAD], [8, END, PAD, PAD, PAD]])
TARGET = np.array([[START, 9, 10, 11], [START, 12, PAD, PAD]])
LABELS = np.array([[9, 10, 11, END], [12, END, PAD, PAD]])
INPUTS = {"source": SOURCE, "target": TARGET}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return Transformer(40, **SMALL)


def changed(tokens, row, column):
    tokens = tokens.copy()
    tokens[row, column] = 30
    return tokens


def test_parameters_by_hand(model):
    d, f = 512, 128
    attention, feed_forward, norm = 4 * d * d + 4 * d, 2 * d * f + f + d, 2 * d
    encoder, decoder = attention + feed_forward + 2 * norm, 2 * attention + feed_forward + 3 * norm
    expected = 8000 * d + 6 * (encoder + decoder) + 2 * norm
    assert Transformer(8000).count_params() == expected == 24_620_544
    assert Transformer(40, **SMALL, norm="post").count_params() == model.count_params() - 2 * 2 * 16


def test_embeddings_are_shared_three_ways(model):
    shapes = [tuple(weight.shape) for weight in model.weights]
    assert [shape for shape in shapes if 40 in shape] == [(40, 16)]
    before = np.array(model(INPUTS))
    twice = Transformer.from_config(model.get_config())
    twice.set_weights(model.get_weights())
    twice.embedding.embeddings.assign(2 * model.embedding.embeddings)
    table = np.array(twice.embedding.embeddings)
    embedded = np.array(twice.embed(SOURCE)) - np.array(model.embed(SOURCE))
    np.testing.assert_allclose(embedded, 4 * table[SOURCE] / 2, atol=1e-5)  # sqrt(16) times what was added
    assert not np.allclose(before, twice(INPUTS))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_causality(policy):
    keras.utils.set_random_seed(0)
    model = Transformer(40, **SMALL, dtype=policy)
    logits = np.array(model(INPUTS))
    assert logits.dtype == np.float32 and np.isfinite(logits).all()

    future = np.array(model({"source": SOURCE, "target": changed(TARGET, 0, 3)}))
    assert np.array_equal(logits[0, :3], future[0, :3]) and not np.allclose(logits[0, 3], future[0, 3])
    assert not np.allclose(logits[0], np.array(model({"source": changed(SOURCE, 0, 1), "target": TARGET}))[0])


def test_padding_of_the_source_changes_nothing(model):
    longer = {"source": np.pad(SOURCE, ((0, 0), (0, 3))), "target": TARGET}
    np.testing.assert_allclose(model(longer), model(INPUTS), atol=1e-5)
    memory = np.array(model.encode(SOURCE))
    memory[0, 4] += 100  # where the source is padding
    np.testing.assert_allclose(model.decode(TARGET, memory, SOURCE), model(INPUTS), atol=1e-5)


def test_a_row_of_padding_alone_is_finite_and_costs_nothing(model):
    empty = {name: np.pad(tokens, ((0, 1), (0, 0))) for name, tokens in INPUTS.items()}
    assert np.isfinite(model(empty)).all()
    loss, more = (
        float(model.compute_loss(y=y, y_pred=model(x), training=False))
        for x, y in ((INPUTS, LABELS), (empty, np.pad(LABELS, ((0, 1), (0, 0)))))
    )
    assert loss == pytest.approx(more, rel=1e-6)


def test_loss_and_metrics_count_real_tokens(model):
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.reset_metrics()
    found = model.evaluate(INPUTS, LABELS, batch_size=1, verbose=0, return_dict=True)
    logits = np.array(model(INPUTS))
    smoothed, plain, _, real = map(np.array, token_losses(LABELS, logits, 0.1))
    right = (logits.argmax(-1) == LABELS) & (LABELS != PAD)
    expected = {"loss": smoothed, "cross_entropy": plain, "accuracy": right}
    assert found == pytest.approx({name: values.sum() / 6 for name, values in expected.items()}, rel=1e-4)
    loss = model.compute_loss(y=LABELS, y_pred=logits)
    assert float(loss) == pytest.approx(smoothed.sum() / real.sum(), rel=1e-5)


def test_saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded(INPUTS), model(INPUTS)) and loaded.get_config() == model.get_config()


def test_attention_maps(model):
    weights = np.array(model.cross_attention(SOURCE, TARGET))
    assert weights.shape == (2, 2, 4, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert not weights[1, :, :, 2:].any()  # padding
