import re

import numpy as np
import pytest

from tfnmt import number_words, numbers

num2words = pytest.importorskip("num2words").num2words

SAMPLE = [*range(2101), *np.random.default_rng(0).integers(0, 10**9, 2000).tolist()]
SAMPLE += [10**6, 2 * 10**6, 80 * 10**6, 200 * 10**6, 80_000, 200_000, 80_000_080, number_words.LARGEST]


@pytest.mark.parametrize("language, words", [("en", number_words.english), ("fr", number_words.french)])
def test_numbers_agree_with_num2words(language, words):
    assert [words(n) for n in SAMPLE] == [num2words(n, lang=language).replace(",", "") for n in SAMPLE]


def test_ordinals_agree_with_num2words():
    ordinals = [number_words.english_ordinal(n) for n in range(1, 100)]
    assert ordinals == [num2words(n, lang="en", to="ordinal") for n in range(1, 100)]


def test_years_agree_with_num2words():
    years = [numbers.english_year(y) for y in range(1100, 2100)]
    assert years == [num2words(y, lang="en", to="year").replace("oh-", "oh ") for y in range(1100, 2100)]


def test_years_in_french_have_no_plural():
    years = {1200: "mille deux cent", 1980: "mille neuf cent quatre-vingt", 1900: "mille neuf cent", 2000: "deux mille"}
    years[1903] = "mille neuf cent trois"
    assert {year: numbers.french_year(year) for year in years} == years


@pytest.mark.parametrize(
    "number, masculine, feminine",
    [(1, "un", "une"), (21, "vingt et un", "vingt et une"), (71, "soixante et onze", "soixante et onze"),
     (81, "quatre-vingt-un", "quatre-vingt-une"), (10**6, "un million", "un million")],
)  # fmt: skip
def test_gender(number, masculine, feminine):
    assert (number_words.french(number), number_words.french(number, True)) == (masculine, feminine)


@pytest.mark.parametrize("number", [-1, 10**9])
def test_out_of_range(number):
    with pytest.raises(ValueError, match="must lie in"):
        number_words.french(number)


class Fixed:
    """A random generator that gives these numbers."""

    def __init__(self, *values):
        self.values = list(values)

    def integers(self, *_):
        return self.values.pop(0)

    random = integers


@pytest.mark.parametrize(
    "make, drawn, english, french",
    [
        (numbers.clock, (0, 0), "it is midnight", "il est minuit"),
        (numbers.clock, (12, 30), "it is half past noon", "il est midi et demi"),
        (numbers.clock, (14, 45), "it is a quarter to three in the afternoon",
         "il est trois heures moins le quart de l'après-midi"),
        (numbers.clock, (13, 15), "it is a quarter past one in the afternoon",
         "il est une heure et quart de l'après-midi"),
        (numbers.clock, (23, 59), "it is one minute to midnight", "il est minuit moins une"),
        (numbers.clock, (6, 30), "it is half past six in the morning", "il est six heures et demie du matin"),
        (numbers.date, (4, 1, 1984), "the first of May nineteen eighty-four",
         "le premier mai mille neuf cent quatre-vingt-quatre"),
        (numbers.date, (11, 21, 2005), "the twenty-first of December two thousand and five",
         "le vingt et un décembre deux mille cinq"),
        (numbers.price, (0, 7, 2_000_000, 0.9), "two million euros", "deux millions d'euros"),
        (numbers.price, (2, 2, 21, 0.1, 1), "twenty-one pounds and one penny", "vingt et une livres et un penny"),
        (numbers.price, (1, 1, 1, 0.1, 80), "one dollar and eighty cents", "un dollar et quatre-vingts cents"),
    ],
)  # fmt: skip
def test_sentences(make, drawn, english, french):
    assert make(Fixed(*drawn)) == (english, french)


def test_splits_share_no_sentence():
    parts = {split: numbers.corpus(split, 500) for split in numbers.SHARES}
    for language in ("english", "french"):
        assert len(set.union(*(set(getattr(part, language)) for part in parts.values()))) == 1500
    assert parts["test"].sha256() == numbers.corpus("test", 500).sha256() != numbers.corpus("test", 500, 1).sha256()
    kinds = ["it is", "the .* of", "(euro|dollar|pound)s?"]
    assert all(sum(bool(re.search(kind, text)) for text in parts["train"].english) > 50 for kind in kinds)
    with pytest.raises(ValueError, match="Unknown split"):
        numbers.corpus("dev", 1)
