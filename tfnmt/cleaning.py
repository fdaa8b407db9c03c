"""One way to write what corpora write in several: blanks, apostrophes, French spaces before punctuation.

- Unicode NFC; soft hyphens and zero-width blanks go.
- Runs of blanks of any kind, tabs and line ends included, become one blank; none at the edges.
- Curly apostrophes become straight ones.
- In French: U+202F (narrow no-break space) before `?`, `!` and `;`, U+00A0 (no-break space) before a colon and inside
  guillemets, whatever stood there; before a colon after a digit only where there was a blank.
"""

import re
import unicodedata

INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
APOSTROPHES = {ord(mark): "'" for mark in "\u2018\u2019\u02bc"}
NARROW, WIDE = "\u202f", "\u00a0"

_BLANKS = re.compile(r"\s+")
_HIGH = re.compile(r"(?<=[^\s?!;])\s*([?!;]+)(?![\w&/=])")  # not inside of addresses
_COLON = re.compile(r"(?<=[^\s\d:])\s*:(?=\s|$)|(?<=\d)\s+:(?=\s|$)")


def clean(text):
    """A line of any language: NFC, one blank between words, straight apostrophes.

    Example:

    >>> clean(" It\u2019s\\u00a0 here. ")
    "It's here."
    """
    text = unicodedata.normalize("NFC", text).translate(INVISIBLE).translate(APOSTROPHES)
    return _BLANKS.sub(" ", text).strip()


def clean_french(text):
    """A French line: `clean`, and the spaces that French typography sets around punctuation.

    Example:

    >>> clean_french("Au feu!") == clean_french("Au  feu\\u00a0!") == "Au feu\\u202f!"
    True
    """
    text = clean(text)
    text = re.sub(r"«\s*", f"«{WIDE}", re.sub(r"\s*»", f"{WIDE}»", text)).strip()
    text = _HIGH.sub(rf"{NARROW}\1", text)
    return _COLON.sub(f"{WIDE}:", text)
