"""Whole numbers in words, in English and French."""

UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
UNITS += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = ((10**6, "million"), (1000, "thousand"))

FRENCH_UNITS = ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze"]
FRENCH_UNITS += ["treize", "quatorze", "quinze", "seize"]
FRENCH_TENS = ["", "dix", "vingt", "trente", "quarante", "cinquante", "soixante", "soixante"]
FRENCH_TENS += ["quatre-vingt", "quatre-vingt"]

LARGEST = 10**9 - 1


def english(number):
    """English words of a whole number from 0 to 999,999,999: `two hundred and five`, `one thousand and one`.

    Raises:
        ValueError: for any other number.
    """
    _check(number)
    parts = []
    for scale, name in SCALES:
        count, number = divmod(number, scale)
        if count:
            parts.append(f"{_english_hundreds(count)} {name}")
    if number or not parts:
        parts.append("and " * bool(parts and number < 100) + _english_hundreds(number))
    return " ".join(parts)


def _english_hundreds(number):
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _english_tens(rest)
    return f"{UNITS[hundreds]} hundred" + (f" and {_english_tens(rest)}" if rest else "")


def _english_tens(number):
    if number < 20:
        return UNITS[number]
    tens, unit = divmod(number, 10)
    return TENS[tens] + (f"-{UNITS[unit]}" if unit else "")


def english_ordinal(number):
    """English ordinal words of a number from 1 to 99: `first`, `twenty-second`."""
    *head, last = _english_tens(number).split("-")
    irregular = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"}
    irregular |= {"nine": "ninth", "twelve": "twelfth"}
    last = irregular.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return "-".join([*head, last])


def french(number, feminine=False):
    """French words of a whole number from 0 to 999,999,999: `soixante et onze`, `quatre-vingts`, `deux cents`.

    The traditional spelling: hyphens only below one hundred, and not around `et`.

    Args:
        feminine: `une` in place of a final `un`, as before `heure`.

    Raises:
        ValueError: for any other number.
    """
    _check(number)
    millions, below = divmod(number, 10**6)
    thousands, rest = divmod(below, 1000)
    parts = []
    if millions:
        parts.append(f"{_french_hundreds(millions)} million" + "s" * (millions > 1))
    if thousands:
        parts.append("mille" if thousands == 1 else f"{_french_hundreds(thousands, plural=False)} mille")
    if rest or not parts:
        parts.append(_french_hundreds(rest))
    words = " ".join(parts)
    return f"{words}e" if feminine and (words == "un" or words.endswith((" un", "-un"))) else words


def _french_hundreds(number, plural=True):
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _french_tens(rest, plural)
    words = "cent" if hundreds == 1 else f"{FRENCH_UNITS[hundreds]} cent"
    if rest:
        return f"{words} {_french_tens(rest, plural)}"
    return words + "s" * (hundreds > 1 and plural)


def _french_tens(number, plural):
    if number < 17:
        return FRENCH_UNITS[number]
    tens, unit = divmod(number, 10)
    if tens in (7, 9):  # soixante-dix, quatre-vingt-onze
        unit += 10
    if number == 80:
        return "quatre-vingt" + "s" * plural
    if unit == 0:
        return FRENCH_TENS[tens]
    joint = " et " if unit in (1, 11) and tens not in (8, 9) else "-"
    return FRENCH_TENS[tens] + joint + (_french_tens(unit, plural) if unit > 16 else FRENCH_UNITS[unit])


def _check(number):
    if not 0 <= number <= LARGEST:
        raise ValueError(f"number must lie in [0, {LARGEST:,}]. Received: {number!r}")
