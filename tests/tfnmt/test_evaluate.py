import pytest

from tfnmt import evaluate

REFERENCES = [
    "Deux chiens courent dans le parc.",
    "L'homme porte un chapeau.",
    "Oui\u202f!",
    "Un chat dort sur le lit .",
]


def test_perfect_translations():
    scores = evaluate.score(REFERENCES, REFERENCES)
    assert scores["bleu"] == pytest.approx(100) and scores["chrf"] == pytest.approx(100)
    assert scores["bleu_tokenized"] == pytest.approx(100) and scores["exact_match"] == 1.0
    assert scores["signatures"]["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.")
    assert "tok:none" in scores["signatures"]["bleu_tokenized"]


def test_bleu_by_hand():
    # 1-grams 4/5, 2-grams 3/4, 3-grams 2/3, 4-grams 1/2 of "le chat dort ici .", one word too short for none
    scores = evaluate.score(["le chat dort ici ."], ["le chat dort ici !"])
    assert scores["bleu"] == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert scores["exact_match"] == 0.0


def test_case_and_apostrophes():
    scores = evaluate.score(["L'Homme porte un Chapeau."] * 2, ["l'homme porte un chapeau."] * 2)
    assert scores["bleu"] < 60 and scores["bleu_tokenized"] == pytest.approx(100)
    assert evaluate.tokenize("Aujourd'hui, l'eau-de-vie ?") == "aujourd' hui , l' eau-de-vie ?"


def test_by_length():
    sentences = [*REFERENCES, " ".join(["x"] * 40), "Où vas-tu donc ce soir\u202f?"]
    rows = evaluate.by_length(sentences, sentences)
    assert [(row["from_words"], row["to_words"], row["sentences"]) for row in rows] == [
        (1, 5, 3),
        (6, 10, 2),
        (31, 40, 1),
    ]
    assert all(row["chrf"] == pytest.approx(100) for row in rows)


def test_examples():
    translations = ["Deux chiens courent dans le parc.", "L'homme porte un bonnet.", "zzz", "Un chat dort."]
    found = evaluate.examples(["a", "b", "c", "d"], translations, REFERENCES, 1)
    assert {name: rows[0]["source"] for name, rows in found.items()} == {"best": "a", "worst": "c", "median": "d"}
    assert found["best"][0]["chrf"] == pytest.approx(100)


@pytest.mark.parametrize("translations, references", [([], []), (["a"], ["b", "c"])])
def test_bad_lists(translations, references):
    with pytest.raises(ValueError, match="one reference"):
        evaluate.score(translations, references)
