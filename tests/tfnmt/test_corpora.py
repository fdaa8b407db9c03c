import gzip

import numpy as np
import pytest

from tfnmt import corpora
from tfnmt.corpora import Corpus

# Three groups: a-b-c by shared sides, one by case and punctuation, one alone.
CHAIN = Corpus(["Go.", "Go.", "Leave.", "Hi!", "hi", "Yes."], ["Va.", "Pars.", "Pars.", "Salut.", "Bonjour.", "Oui."])


def test_aligned_files(tmp_path):
    (tmp_path / "a.en").write_text("Two dogs.\n\n It\u2019s here. \n", encoding="utf-8")
    (tmp_path / "a.fr").write_text("Deux chiens.\r\nvide\r\nAu feu!\r\n", encoding="utf-8")
    corpus = corpora.read_aligned(tmp_path / "a.en", tmp_path / "a.fr")
    assert corpus.english == ["Two dogs.", "It's here."]
    assert corpus.french == ["Deux chiens.", "Au feu\u202f!"]
    assert corpus.counts == {"empty": 1}


def test_unequal_line_counts(tmp_path):
    (tmp_path / "a.en").write_text("one\ntwo\n")
    (tmp_path / "a.fr").write_text("un\n")
    with pytest.raises(ValueError, match="equally many lines. Received: 2 and 1"):
        corpora.read_aligned(tmp_path / "a.en", tmp_path / "a.fr")


def test_packed_tsv_with_more_columns(tmp_path):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(b"Go.\tVa.\tCC BY\n\nGo.\tVa.\n \n"))
    corpus = corpora.without_duplicates(corpora.read_tsv(path))
    assert (corpus.english, corpus.french, corpus.counts) == (["Go."], ["Va."], {"empty": 2, "duplicates": 1})


@pytest.mark.parametrize(
    "content, message",
    [
        (b"no tab\n", "line 1 has no tab"),
        (b"1\tGo.\t2\tVa.\n\n3\tYes.\tOui.\n", "line 3 is not number, English, number, French, as others are"),
        (b"\x89PNG\xff", "not UTF-8"),
        (b"a\tb\0\n", "zero bytes"),
    ],
)
def test_no_parallel_text(tmp_path, content, message):
    (tmp_path / "a.tsv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        corpora.read_tsv(tmp_path / "a.tsv")
    (tmp_path / "a.tsv.gz").write_bytes(content)
    with pytest.raises(ValueError, match="not UTF-8"):
        corpora.read_tsv(tmp_path / "a.tsv.gz")


def test_numbered_pairs_of_tatoeba(tmp_path):
    (tmp_path / "a.tsv").write_text("12\tTwo dogs.\t7\tDeux chiens.\n13\tYes.\t8\tOui.\n", encoding="utf-8")
    corpus = corpora.read_tsv(tmp_path / "a.tsv")
    assert (corpus.english, corpus.french) == (["Two dogs.", "Yes."], ["Deux chiens.", "Oui."])


def test_a_damaged_archive(tmp_path):
    packed = bytearray(gzip.compress(b"".join(b"line %d\n" % n for n in range(500))))
    packed[12] ^= 0xFF
    (tmp_path / "a.en.gz").write_bytes(packed)
    with pytest.raises(ValueError, match=r"a\.en\.gz is not UTF-8 text"):
        corpora.read_lines(tmp_path / "a.en.gz")


def test_only_line_feeds_end_lines():
    assert corpora.lines_of("a\x0cb\u2028c\r\nd\n".encode()) == ["a\x0cb\u2028c", "d"]


def test_a_large_component_is_trained_on_and_what_is_dropped_is_counted():
    """Hundreds of sentences of one translation are one component."""
    many = [f"word number {n}" for n in range(300)]
    english, french = many + [f"sentence {n}" for n in range(200)], ["Oui."] * 300 + [f"phrase {n}" for n in range(200)]
    for seed in range(5):
        parts = corpora.split_components(corpora.Corpus(english, french), {"test": 20}, seed)
        assert len(parts["train"]) == 480 and parts["train"].counts["beside held-out pairs"] == 0
    pairs = corpora.Corpus(english=list("aabbccddee"), french=[f"{n}" for n in range(10)])  # components of two pairs
    parts = corpora.split_components(pairs, {"test": 2})
    assert (len(parts["train"]), len(parts["test"])) == (6, 2)
    assert parts["train"].counts["beside held-out pairs"] == 2


def test_short_enough():
    lengths = [(3, 3), (3, 14), (3, 13), (151, 3)]
    assert corpora.short_enough(lengths).tolist() == [True, True, True, False]
    assert corpora.short_enough(lengths, longest=13, surplus=10).tolist() == [True, False, True, False]


def test_components():
    assert corpora.components(CHAIN).tolist() == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("seed", range(4))
def test_no_sentence_on_two_sides(seed):
    rng = np.random.default_rng(seed)
    english, french = rng.integers(0, 60, (2, 50)).tolist()
    corpus = Corpus([f"e{i}" for i in english], [f"f{i}" for i in french])
    count = corpora.components(corpus).max() + 1
    parts = corpora.split_components(corpus, {"validation": 2, "test": 3}, seed)
    assert count > 5 and len(parts["validation"]) == 2 and len(parts["test"]) == 3
    for side in ("english", "french"):
        sides = [set(getattr(part, side)) for part in parts.values()]
        assert sum(map(len, sides)) == len(set.union(*sides))
    again = corpora.split_components(corpus, {"validation": 2, "test": 3}, seed)
    assert {name: part.sha256() for name, part in again.items()} == {n: p.sha256() for n, p in parts.items()}


def test_nothing_left_to_train_on():
    with pytest.raises(ValueError, match="can't be held out of 3 groups"):
        corpora.split_components(CHAIN, {"test": 3})


def test_pairs_of_another_split_are_left_out():
    rest = corpora.without(CHAIN, CHAIN.take([1, 5]))
    assert len(rest) == 4 and rest.counts == {"held out elsewhere": 2}
    with pytest.raises(ValueError, match="equally many"):
        Corpus(["a"], [])
