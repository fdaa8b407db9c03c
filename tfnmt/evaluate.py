"""How well translations agree with references: sacreBLEU, chrF, exact matches, by sentence length.

References:
    - Papineni et al. 2002, "BLEU"; Post 2018, "A Call for Clarity in Reporting BLEU Scores" (sacreBLEU).
    - Popović 2015, "chrF: character n-gram F-score".
"""

import re

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

LENGTHS = (5, 10, 15, 20, 30)
"""Upper ends of the classes of reference length, in words; the last class is open."""

_WORDS = re.compile(r"\w+(?:-\w+)*'?|[^\w\s]")


def score(translations, references):
    """Corpus scores of translations, each against one reference.

    Args:
        translations, references: lists of strings of equal length, cased and detokenized.

    Returns:
        Dictionary: `bleu` (13a tokenization, cased) and `chrf`, in [0, 100]; `bleu_tokenized`, on lower-cased text that
        `tokenize` split before, close to what papers on Multi30k report; their `signatures`; `exact_match`, the share
        of translations that are their reference; `by_length`, a list with BLEU, chrF and number of sentences for each
        class of length.

    Raises:
        ValueError: for lists of unequal length, or empty ones.
    """
    if len(translations) != len(references) or not references:
        received = f"{len(translations):,} and {len(references):,}"
        raise ValueError(f"Each translation needs one reference, and there must be one. Received: {received}")
    bleu, chrf, plain = BLEU(), CHRF(), BLEU(tokenize="none", force=True)
    split = [[tokenize(text) for text in side] for side in (translations, references)]
    result = {
        "bleu": bleu.corpus_score(translations, [references]).score,
        "chrf": chrf.corpus_score(translations, [references]).score,
        "bleu_tokenized": plain.corpus_score(split[0], split[1:]).score,
        "exact_match": float(np.mean([t == r for t, r in zip(translations, references, strict=True)])),
        "sentences": len(references),
    }
    metrics = {"bleu": bleu, "chrf": chrf, "bleu_tokenized": plain}
    result["signatures"] = {name: str(metric.get_signature()) for name, metric in metrics.items()}
    return result | {"by_length": by_length(translations, references)}


def tokenize(text):
    """Lower-cased words with blanks between them: punctuation stands alone, and `l'homme` is two words.

    Example:

    >>> tokenize("L'homme porte un t-shirt.")
    "l' homme porte un t-shirt ."
    """
    return " ".join(_WORDS.findall(text.lower()))


def by_length(translations, references):
    """BLEU, chrF and the number of sentences for each class of reference length that occurs, in words between blanks:
    a mark after a no-break space belongs to the word before it."""
    words = np.array([len(reference.split(" ")) for reference in references])
    classes, rows = np.searchsorted(LENGTHS, words), []
    for index in np.unique(classes):
        chosen = np.flatnonzero(classes == index)
        texts, truths = ([side[i] for i in chosen] for side in (translations, references))
        rows.append(
            {
                "from_words": 1 if index == 0 else LENGTHS[index - 1] + 1,
                "to_words": LENGTHS[index] if index < len(LENGTHS) else int(words.max()),
                "sentences": len(chosen),
                "bleu": BLEU().corpus_score(texts, [truths]).score,
                "chrf": CHRF().corpus_score(texts, [truths]).score,
            }
        )
    return rows


def examples(sources, translations, references, count=3):
    """Translations from the two ends and the middle of a ranking by chrF.

    Returns:
        `{"best": [...], "median": [...], "worst": [...]}`, each with `count` dictionaries of `source`, `translation`,
        `reference` and `chrf`.
    """
    chrf = CHRF()
    scores = np.array([chrf.sentence_score(t, [r]).score for t, r in zip(translations, references, strict=True)])
    order = np.argsort(-scores, kind="stable")
    middle = max(0, len(order) // 2 - count // 2)
    chosen = {"best": order[:count], "median": order[middle : middle + count], "worst": order[::-1][:count]}

    def example(i):
        texts = {"source": sources[i], "translation": translations[i], "reference": references[i]}
        return {**texts, "chrf": float(scores[i])}

    return {name: [example(i) for i in positions] for name, positions in chosen.items()}
