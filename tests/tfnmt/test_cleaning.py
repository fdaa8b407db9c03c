import pytest

from tfnmt.cleaning import clean, clean_french

NARROW, WIDE = "\u202f", "\u00a0"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("  two   dogs\t", "two dogs"),
        ("it\u2019s", "it's"),
        ("e\u0301te\u0301", "été"),
        ("turquoise\u00ad\u200b", "turquoise"),
        ("a\u2009b\u00a0c\u202fd", "a b c d"),
        ("\u00a0", ""),
    ],
)
def test_clean(text, expected):
    assert clean(text) == expected


@pytest.mark.parametrize("before", ["", " ", WIDE, NARROW, "\u2009", "  "])
@pytest.mark.parametrize("mark", "?!;")
def test_one_space_before_french_punctuation(before, mark):
    assert clean_french(f"Au feu{before}{mark}") == f"Au feu{NARROW}{mark}"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Il dit: non", f"Il dit{WIDE}: non"),
        ("À 10:30", "À 10:30"),
        ("voir http://a.fr", "voir http://a.fr"),
        ("voir a.fr/?q=1&b=2;c", "voir a.fr/?q=1&b=2;c"),
        ("» x «", "» x «"),  # no blank of any kind at the edges
        ("«Oui»", f"«{WIDE}Oui{WIDE}»"),
        ("Quoi ?!", f"Quoi{NARROW}?!"),
        ("!", "!"),
        ("l\u2019été.", "l'été."),
    ],
)
def test_french(text, expected):
    assert clean_french(text) == expected
    assert clean_french(expected) == expected
