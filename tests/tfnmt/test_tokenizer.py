import pytest

from tfnmt.tokenizer import END, PAD, START, Tokenizer

TEXT = ["l'homme mange une pomme.", "l'homme court.", "the man eats an apple.", "the man runs.", "Au feu\u202f!"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXT, 300)


@pytest.mark.parametrize(
    "text",
    [
        *TEXT[:5],
        "🙂 emoji",
        "Ελληνικά, 中文",
        "<pad> </s> <end>",
        "a\u00a0b\u202f!",
        "  two  blanks ",
        "",
        "\x00\t\n",
        "'",
    ],
)
def test_any_text_comes_back(tokenizer, text):
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode([START, *ids, END, 5, PAD]) == text
    assert all(3 <= i < tokenizer.size for i in ids)


def test_pieces(tokenizer):
    (ids,) = tokenizer.encode(["l'homme court."])
    assert tokenizer.pieces([*ids, END]) == ["l'", "homme", " court", ".", "<end>"]
    assert [tokenizer.pieces(i) for i in tokenizer.encode(["12"])] == [["1", "2"]]  # digits stand alone


def test_words_are_normalized(tokenizer):
    assert tokenizer.encode(["e\u0301"]) == tokenizer.encode(["é"])


def test_saved_and_loaded(tokenizer, tmp_path):
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.encode(TEXT) == tokenizer.encode(TEXT) and loaded.size == tokenizer.size
    with pytest.raises(ValueError, match="no tokenizer"):
        Tokenizer.from_json("{}")


def test_sizes():
    assert Tokenizer.train(TEXT, 280).size == 280
    assert 259 < Tokenizer.train(TEXT, 8000).size < 400  # no more pairs that occur twice
    with pytest.raises(ValueError, match="at least 259"):
        Tokenizer.train(TEXT, 258)
