"""The whole way: eight sentences are learned by heart, and translated from text to text."""

import keras
import numpy as np
import pytest

from tfnmt.batches import Pairs
from tfnmt.cleaning import clean_french
from tfnmt.model import Transformer
from tfnmt.tokenizer import Tokenizer
from tfnmt.translate import Translator, attention_map

PAIRS = {
    "Two dogs run.": "Deux chiens courent.",
    "A man eats an apple.": "Un homme mange une pomme.",
    "The cat sleeps on the red sofa.": "Le chat dort sur le canapé rouge.",
    "Fire!": "Au feu !",
    "It's cold today.": "Il fait froid aujourd'hui.",
    "Where is she?": "Où est-elle ?",
    "Children play in the water near the beach.": "Des enfants jouent dans l'eau près de la plage.",
    "Yes.": "Oui.",
}
FRENCH = [clean_french(text) for text in PAIRS.values()]


@pytest.fixture(scope="module")
def learned():
    keras.utils.set_random_seed(0)
    tokenizer = Tokenizer.train([*PAIRS, *FRENCH] * 2, 330)
    pairs = Pairs(tokenizer.encode(PAIRS), tokenizer.encode(FRENCH), 1024, widths=(64,))
    (batch,) = pairs.dataset().as_numpy_iterator()
    batch = ({name: tokens[:8] for name, tokens in batch[0].items()}, batch[1][:8])
    model = Transformer(tokenizer.size, layers=1, width=32, heads=2, feed_forward=64, dropout=0.0)
    model.compile(keras.optimizers.Adam(5e-3, beta_2=0.98), jit_compile=False)
    logs = [model.train_on_batch(*batch, return_dict=True) for _ in range(60)]
    assert logs[-1]["loss"] < 3
    return model, tokenizer


@pytest.mark.parametrize("beam", [1, 4])
def test_eight_sentences_are_translated_exactly(learned, beam):
    assert Translator(*learned, beam=beam).translate(list(PAIRS)) == FRENCH


def test_order_and_batches_change_nothing(learned):
    order = np.random.default_rng(0).permutation(8)
    texts = np.array(list(PAIRS))[order].tolist()
    assert Translator(*learned, beam=1, batch_tokens=16).translate(texts) == np.array(FRENCH)[order].tolist()


def test_any_input_is_answered(learned):
    texts = ["", "   ", "word " * 10_000, "🙂🙂", "Ελληνικά 中文", "\x00\x07", "Fire!"]
    translations = Translator(*learned, beam=1, widths=(8, 24)).translate(texts)
    assert translations[:2] == ["", ""] and translations[-1] == FRENCH[3]
    assert all(isinstance(text, str) for text in translations)
    assert Translator(*learned).translate([]) == []


def test_long_text_is_cut_where_sentences_end(learned):
    translator = Translator(*learned, beam=1, longest=30)
    text = "Two dogs run. Fire! Two dogs run. Fire! Yes. Fire! Two dogs run. Fire!"
    (ids,) = learned[1].encode([text])
    parts = translator._parts(ids)
    assert len(parts) > 1 and max(map(len, parts)) <= 29
    texts = [learned[1].decode(part) for part in parts]
    assert " ".join(texts) == text and all(part.endswith((".", "!")) for part in texts)
    assert parts == learned[1].encode(texts)  # as if each had been a sentence of its own
    (prices,) = learned[1].encode(["3.5 " * 12])
    assert all(learned[1].decode(part).endswith("3.5") for part in translator._parts(prices)[:-1])
    (word,) = learned[1].encode(["x" * 100])
    assert [len(part) for part in translator._parts(word)] == [29, 29, 29, 13]
    (words,) = learned[1].encode(["dogs " * 30])
    assert all(learned[1].decode(part).startswith("dogs") for part in translator._parts(words)[1:])


@pytest.mark.parametrize(
    "options, message",
    [({"beam": 0}, "beam must be at least 1"), ({"longest": 1}, "longest and the last of widths must be at least 2")],
)
def test_what_translates_nothing(learned, options, message):
    with pytest.raises(ValueError, match=message):
        Translator(*learned, **options)


def test_the_attention_map_has_a_row_a_french_piece(learned):
    columns, rows, weights = attention_map(*learned, "Two  dogs run.", FRENCH[0])
    assert [side[-1] for side in (columns, rows)] == ["<end>"] * 2
    assert ["".join(side[:-1]).strip() for side in (columns, rows)] == ["Two dogs run.", FRENCH[0]]
    assert weights.shape == (len(rows), len(columns))
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
