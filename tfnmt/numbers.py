"""`numbers`, a procedural parallel corpus: numbers, dates, prices and clock times in words, in English and French.

No sentence of one split is in another, since a hash of the English side decides which split a sentence belongs to.
"""

import hashlib

import numpy as np

from tfnmt.corpora import Corpus
from tfnmt.number_words import english, english_ordinal, french

SHARES = {"train": 80, "validation": 10, "test": 10}
"""Percent of all sentences that a split draws from."""

MONTHS = {
    "January": "janvier",
    "February": "février",
    "March": "mars",
    "April": "avril",
    "May": "mai",
    "June": "juin",
    "July": "juillet",
    "August": "août",
    "September": "septembre",
    "October": "octobre",
    "November": "novembre",
    "December": "décembre",
}
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

CURRENCIES = (
    (("euro", "euros"), ("cent", "cents"), ("euro", "euros"), ("centime", "centimes")),
    (("dollar", "dollars"), ("cent", "cents"), ("dollar", "dollars"), ("cent", "cents")),
    (("pound", "pounds"), ("penny", "pence"), ("livre", "livres"), ("penny", "pence")),
)


def corpus(split, size, seed=0):
    """Distinct sentences of one split.

    Args:
        split: a key of `SHARES`.
        size: number of pairs.
        seed: of the drawing.

    Returns:
        A `tfnmt.corpora.Corpus`.

    Raises:
        ValueError: for an unknown split.
    """
    if split not in SHARES:
        raise ValueError(f"Unknown split. Choose one of: {', '.join(SHARES)}. Received: {split!r}")
    rng, found = np.random.default_rng([seed, list(SHARES).index(split)]), {}
    kinds = (cardinal, cardinal, date, date, price, clock)
    while len(found) < size:
        pair = kinds[rng.integers(len(kinds))](rng)
        if split_of(pair[0]) == split:
            found.setdefault(*pair)
    return Corpus(list(found), list(found.values()))


def split_of(sentence):
    """The split that an English sentence belongs to."""
    percent = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8]) % 100
    for split, share in SHARES.items():
        percent -= share
        if percent < 0:
            return split


def _number(rng):
    """A whole number whose number of digits is uniform from 1 to 9."""
    digits = int(rng.integers(1, 10))
    return int(rng.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits))


def cardinal(rng):
    """`(english, french)`: a number in words."""
    number = _number(rng)
    return english(number), french(number)


def date(rng):
    """A day, month and year; the first of a month is `premier` in French, other days are cardinals."""
    month = int(rng.integers(12))
    day, year = int(rng.integers(1, DAYS[month] + 1)), int(rng.integers(1100, 2100))
    name, nom = list(MONTHS.items())[month]
    jour = "premier" if day == 1 else french(day)
    return f"the {english_ordinal(day)} of {name} {english_year(year)}", f"le {jour} {nom} {french_year(year)}"


def french_year(year):
    """A year: as its number, but `cent` and `quatre-vingt` have no plural, since the year is the one of that number."""
    return french(year).removesuffix("s") if year % 100 in (0, 80) else french(year)


def english_year(year):
    """A year from 1100 to 2099 as it is read: `nineteen eighty-four`, `nineteen hundred`, `two thousand and five`."""
    century, rest = divmod(year, 100)
    if century == 20 and rest < 10:
        return english(year)
    if rest == 0:
        return f"{english(century)} hundred"
    return f"{english(century)} {'oh ' * (rest < 10)}{english(rest)}"


def price(rng):
    """An amount in one of three currencies, with or without its hundredths; French says `de` after full millions."""
    names = CURRENCIES[rng.integers(len(CURRENCIES))]
    amount, hundredths = max(1, _number(rng)), int(rng.integers(100)) if rng.random() < 0.6 else 0
    whole, part, entier, fraction = names
    of = (" d'" if entier[0][0] in "aeiou" else " de ") if amount % 10**6 == 0 else " "
    feminine = entier[0] == "livre"
    text = f"{english(amount)} {whole[amount > 1]}"
    texte = f"{french(amount, feminine)}{of}{entier[amount > 1]}"
    if hundredths:
        text += f" and {english(hundredths)} {part[hundredths > 1]}"
        texte += f" et {french(hundredths)} {fraction[hundredths > 1]}"
    return text, texte


def clock(rng):
    """A time of day: `it is a quarter to three in the afternoon`, `il est trois heures moins le quart de l'après-midi`.

    Past the half hour, the next hour is named; noon and midnight have names of their own.
    """
    hour, minute = int(rng.integers(24)), int(rng.integers(60))
    named, minutes = (hour, minute) if minute <= 30 else ((hour + 1) % 24, 60 - minute)
    past = "past" if minute <= 30 else "to"
    spoken, heure = _hour(named)
    if minute == 0:
        return f"it is {spoken}", f"il est {heure}"
    words = {15: "a quarter", 30: "half"}.get(minutes, f"{english(minutes)} minute{'s' * (minutes > 1)}")
    if minute <= 30:
        sign = {15: "et quart", 30: "et demi" if named in (0, 12) else "et demie"}.get(minutes, french(minutes, True))
    else:
        sign = "moins " + ("le quart" if minutes == 15 else french(minutes, True))
    base, _, part = heure.partition(" d")
    texte = f"{base} {sign}" + (f" d{part}" if part else "")
    return f"it is {words} {past} {spoken}", f"il est {texte}"


def _hour(hour):
    """An hour of the day in both languages, with the part of the day."""
    if hour in (0, 12):
        return (("midnight", "minuit"), ("noon", "midi"))[hour == 12]
    part = 0 if hour < 12 else 1 if hour < 18 else 2
    english_part = ("in the morning", "in the afternoon", "in the evening")[part]
    french_part = ("du matin", "de l'après-midi", "du soir")[part]
    number = hour % 12
    return f"{english(number)} {english_part}", f"{french(number, True)} heure{'s' * (number > 1)} {french_part}"
