"""Text to text: a transformer, its tokenizer and a search together; and where the model looks meanwhile."""

import numpy as np

from tfnmt.batches import WIDTHS
from tfnmt.cleaning import clean
from tfnmt.decoding import Beam, Greedy
from tfnmt.tokenizer import END, PAD, START


class Translator:
    """Translates English sentences into French.

    Args:
        model: a `tfnmt.model.Transformer`.
        tokenizer: its `tfnmt.tokenizer.Tokenizer`.
        beam: width of the beam; 1 is greedy search.
        penalty: see `tfnmt.decoding.Beam`.
        batch_tokens: padded source tokens of a batch.
        widths: padded lengths, ascending.
        longest: a sentence of more tokens, the end included, is translated in parts.

    Raises:
        ValueError: for a beam below 1, or a longest part that holds no token beside its end.
    """

    def __init__(self, model, tokenizer, beam=5, penalty=1.0, batch_tokens=1024, widths=WIDTHS, longest=None):
        if beam < 1:
            raise ValueError(f"beam must be at least 1. Received: beam={beam!r}")
        self.tokenizer, self.batch_tokens, self.widths = tokenizer, batch_tokens, np.asarray(widths)
        self.longest = int(min(longest or self.widths[-1], self.widths[-1]))
        if self.longest < 2:
            raise ValueError(f"longest and the last of widths must be at least 2. Received: {self.longest}")
        self.search = Greedy(model) if beam == 1 else Beam(model, beam, penalty)

    def translate(self, sentences):
        """French for English sentences, a list of strings, each cleaned first; an empty sentence stays empty."""
        whole = self.tokenizer.encode([clean(sentence) for sentence in sentences])
        parts = [(number, part) for number, ids in enumerate(whole) for part in self._parts(ids)]
        texts = [""] * len(parts)
        for positions, batch in self._batches([part for _, part in parts]):
            found, _ = self.search.predict_on_batch(batch)
            for position, ids in zip(positions, found, strict=False):  # rows beyond are padding
                texts[position] = self.tokenizer.decode(ids)
        joined = [[] for _ in sentences]
        for (number, _), text in zip(parts, texts, strict=True):
            joined[number].append(text.strip())
        return [" ".join(texts) for texts in joined]

    def _parts(self, ids):
        """Token ids in parts that are short enough, cut after the end of a sentence, else before a word; no part begins
        with a blank, as no sentence does."""
        size, parts = self.longest - 1, []
        while len(ids) > size:
            pieces = self.tokenizer.pieces(ids[: size + 1])
            stops = [i + 1 for i in range(size) if pieces[i].strip() in (".", "!", "?")]
            ends = [i for i in stops if pieces[i].startswith(" ")]  # not inside of 3.5
            words = [i for i in range(1, size + 1) if pieces[i].startswith(" ")]
            cut = (ends or words or [size])[-1]
            parts.append(ids[:cut])
            ids = ids[cut:]
            if pieces[cut].startswith(" "):
                (ids,) = self.tokenizer.encode([self.tokenizer.decode(ids).lstrip()])
        return parts + [ids] * bool(ids)

    def _batches(self, tokens):
        """Positions and padded sources; every batch of a width has the same shape within a call."""
        needed = np.array([len(ids) + 1 for ids in tokens], int)
        for below, width in zip([0, *self.widths], self.widths, strict=False):
            members = np.flatnonzero((needed > below) & (needed <= width))
            rows = min(max(1, self.batch_tokens // int(width)), len(members))
            for start in range(0, len(members), rows or 1):
                positions = members[start : start + rows]
                batch = np.full((rows, width), PAD, np.int32)
                for row, position in enumerate(positions):
                    batch[row, : len(tokens[position]) + 1] = [*tokens[position], END]
                yield positions, batch


def attention_map(model, tokenizer, english, french):
    """Where the last block looks while it writes a translation: its cross-attention, averaged over heads.

    Args:
        model: a `tfnmt.model.Transformer`.
        tokenizer: its `tfnmt.tokenizer.Tokenizer`.
        english, french: a sentence, cleaned first, and its translation.

    Returns:
        `(columns, rows, weights)`: the pieces of both sentences, each with its end, and float32 `(rows, columns)` that
        add up to 1 in each row.
    """
    source, target = tokenizer.encode([clean(english), french])
    tokens = [np.array([ids], np.int32) for ids in ([*source, END], [START, *target])]
    weights = np.asarray(model.cross_attention(*tokens))[0].astype("float32").mean(axis=0)
    return tokenizer.pieces([*source, END]), tokenizer.pieces([*target, END]), weights
