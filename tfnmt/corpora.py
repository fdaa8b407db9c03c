"""Parallel text: files to pairs, duplicates, filters, and a split in which no sentence lies on two sides."""

import gzip
import hashlib
import re
import zlib
from dataclasses import dataclass, field

import numpy as np

from tfnmt.cleaning import clean, clean_french


@dataclass
class Corpus:
    """Pairs of clean sentences.

    Attributes:
        english, french: lists of equal length.
        counts: what was left out and why, `{"duplicates": 12, ...}`.
    """

    english: list
    french: list
    counts: dict = field(default_factory=dict)

    def __post_init__(self):
        if len(self.english) != len(self.french):
            received = f"{len(self.english):,} English and {len(self.french):,} French"
            raise ValueError(f"Both sides need equally many sentences. Received: {received}")

    def __len__(self):
        return len(self.english)

    def take(self, positions):
        """The pairs at some positions, in that order."""
        return Corpus([self.english[i] for i in positions], [self.french[i] for i in positions], dict(self.counts))

    def sha256(self):
        """Hash of all pairs, in order."""
        lines = (f"{english}\t{french}\n" for english, french in zip(self.english, self.french, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_lines(path):
    """The lines of a UTF-8 text file, one of `.gz` unpacked.

    Raises:
        ValueError: for a file that is not text; the message names it.
        OSError: where it can't be read.
    """
    with open(path, "rb") as file:
        content = file.read()
    try:
        return lines_of(gzip.decompress(content) if str(path).endswith(".gz") else content)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not UTF-8 text ({error})") from None


def lines_of(content):
    """The lines of UTF-8 text; only line feeds end a line, so that aligned texts stay aligned.

    Args:
        content: bytes.

    Raises:
        ValueError: where they are no text.
    """
    text = content.decode("utf-8-sig")
    if "\0" in text:
        raise ValueError("it holds zero bytes")
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def read_aligned(english_path, french_path):
    """Two files with the same sentence on the same line; a pair with an empty side is left out, and counted.

    Raises:
        ValueError: for unequal numbers of lines, or a file that is not text.
    """
    english, french = read_lines(english_path), read_lines(french_path)
    if len(english) != len(french):
        raise ValueError(
            f"{english_path} and {french_path} must have equally many lines. "
            f"Received: {len(english):,} and {len(french):,}"
        )
    return cleaned(english, french)


def read_tsv(path):
    """A file of `english<TAB>french` lines, more columns ignored; otherwise as `read_aligned`.

    Also one of `number<TAB>english<TAB>number<TAB>french`, as Tatoeba hands out pairs of sentences.
    """
    rows = [line.split("\t") if line.strip() else [""] * 4 for line in read_lines(path)]
    for number, row in enumerate(rows, 1):
        if len(row) < 2:
            raise ValueError(f"{path}: line {number} has no tab between English and French. Received: {row[0][:60]!r}")
    numbered = [len(row) > 3 and row[0].strip().isdigit() and row[2].strip().isdigit() for row in rows if any(row)]
    if any(numbered) and not all(numbered):
        row = [row for row in rows if any(row)][numbered.index(False)]
        raise ValueError(
            f"{path}: line {rows.index(row) + 1} is not number, English, number, French, as others are. "
            f"Received: {' '.join(row)[:60]!r}"
        )
    english, french = (1, 3) if any(numbered) else (0, 1)
    return cleaned([row[english] for row in rows], [row[french] for row in rows])


def cleaned(english, french):
    """The pairs of two lists of sentences, cleaned; those with an empty side are left out, and counted."""
    pairs = [(clean(e), clean_french(f)) for e, f in zip(english, french, strict=True)]
    kept = [pair for pair in pairs if all(pair)]
    return Corpus([e for e, _ in kept], [f for _, f in kept], {"empty": len(pairs) - len(kept)})


def joined(parts):
    """The pairs of several corpora as one."""
    parts, counts = list(parts), {}
    for part in parts:
        for reason, count in part.counts.items():
            counts[reason] = counts.get(reason, 0) + count
    return Corpus([s for part in parts for s in part.english], [s for part in parts for s in part.french], counts)


def without_duplicates(corpus):
    """A corpus without pairs that it already has; how many is in its `counts`."""
    pairs = zip(corpus.english, corpus.french, strict=True)
    positions = {pair: i for i, pair in reversed(list(enumerate(pairs)))}
    kept = corpus.take(sorted(positions.values()))
    kept.counts["duplicates"] = len(corpus) - len(kept)
    return kept


def without(corpus, other):
    """A corpus without the pairs of another, such as a train split without those of the test split."""
    known = set(zip(other.english, other.french, strict=True))
    pairs = zip(corpus.english, corpus.french, strict=True)
    kept = corpus.take([i for i, pair in enumerate(pairs) if pair not in known])
    kept.counts["held out elsewhere"] = kept.counts.get("held out elsewhere", 0) + len(corpus) - len(kept)
    return kept


def short_enough(lengths, longest=150, surplus=None):
    """Which pairs of tokenized sentences are short enough to train on.

    Args:
        lengths: integer array `(n, 2)`: tokens of each English and French sentence.
        longest: tokens that a side has at most.
        surplus: tokens that the French side is longer than the English at most; None for any.

    Returns:
        Bool array `(n,)`.
    """
    lengths = np.asarray(lengths).reshape(-1, 2)
    kept = (lengths <= longest).all(axis=1)
    return kept if surplus is None else kept & (lengths[:, 1] - lengths[:, 0] <= surplus)


def components(corpus):
    """Connected components of the pairs: two that share a side, however indirectly, have the same number.

    A sentence is in one component with all its translations and with their other sources. Sentences that differ in case
    or punctuation only count as the same.

    Returns:
        Integer array `(n,)`; components are numbered from 0, in the order in which they are met.
    """
    parent = {}

    def root(node):
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    english, french = ([_words(sentence) for sentence in side] for side in (corpus.english, corpus.french))
    for one, other in zip(english, french, strict=True):
        parent[root(("en", one))] = root(("fr", other))
    numbers = {}
    return np.array([numbers.setdefault(root(("en", sentence)), len(numbers)) for sentence in english], int)


def _words(sentence):
    """A sentence without case and punctuation; one of punctuation alone as it is."""
    return " ".join(re.findall(r"\w+", sentence.casefold())) or sentence


def split_components(corpus, sizes, seed=0):
    """Splits pairs so that no sentence of one part occurs in another.

    Components are drawn at random, large ones (more than ten pairs, and more than a thousandth of all) only where there
    are no others left. A part that is held out gets one pair of each of its components, so that no sentence of it
    occurs twice; the rest of those components is in no part, and counted in the `counts` of `train`.

    Args:
        corpus: a `Corpus`.
        sizes: `{part: pairs}` of the parts to hold out.
        seed: of the drawing.

    Returns:
        `{"train": Corpus, part: Corpus, ...}`.

    Raises:
        ValueError: where nothing would be left to train on.
    """
    numbers, rng = components(corpus), np.random.default_rng(seed)
    count = int(numbers.max()) + 1 if len(numbers) else 0
    if sum(sizes.values()) >= count:
        raise ValueError(f"{sizes} can't be held out of {count:,} groups of pairs that share no sentence")
    order = rng.permutation(count)
    large = np.bincount(numbers)[order] > max(10, len(corpus) // 1000)
    order = np.concatenate([order[~large], order[large]])
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
    parts, start = {}, 0
    for part, size in sizes.items():
        drawn = [int(rng.choice(members[number])) for number in order[start : start + size]]
        parts[part], start = corpus.take(sorted(drawn)), start + size
    kept = np.sort(np.concatenate([members[number] for number in order[start:]]))
    train = corpus.take(kept.tolist())
    train.counts["beside held-out pairs"] = len(corpus) - len(train) - sum(map(len, parts.values()))
    return {"train": train, **parts}
