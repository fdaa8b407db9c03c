"""Text to text: a transformer, its tokenizer and a search together."""

import numpy as np

from tfnmt.batches import WIDTHS
from tfnmt.cleaning import clean
from tfnmt.decoding import Beam, Greedy
from tfnmt.tokenizer import END, PAD


class Translator:
    """Translates English sentences into French.

    Args:
        model: a `tfnmt.model.Transformer`.
        tokenizer: its `tfnmt.tokenizer.Tokenizer`.
        beam: width of the beam; 1 is greedy search.
        penalty: see `tfnmt.decoding.Beam`.
        batch_tokens: padded source tokens of a batch.
        widths: padded lengths; a longer sentence is cut off at the last.
        kept: keep keys and values while decoding.
    """

    def __init__(self, model, tokenizer, beam=5, penalty=1.0, batch_tokens=1024, widths=WIDTHS, kept=True):
        if beam < 1:
            raise ValueError(f"beam must be at least 1. Received: beam={beam!r}")
        self.tokenizer, self.batch_tokens, self.widths = tokenizer, batch_tokens, np.asarray(widths)
        self.search = Greedy(model, kept=kept) if beam == 1 else Beam(model, beam, penalty, kept=kept)

    def translate(self, sentences, on_batch=None):
        """French for English sentences, one each; an empty sentence stays empty.

        Args:
            sentences: list of strings, each cleaned first.
            on_batch: called with the number of sentences done after each batch.
        """
        tokens = self.tokenizer.encode([clean(sentence) for sentence in sentences])
        texts = [""] * len(sentences)
        done = sum(not ids for ids in tokens)
        for positions, batch in self._batches(tokens):
            found, _ = self.search.predict_on_batch(batch)
            for position, ids in zip(positions, found, strict=False):  # rows beyond are padding
                texts[position] = self.tokenizer.decode(ids)
            done += len(positions)
            if on_batch:
                on_batch(done)
        return texts

    def _batches(self, tokens):
        """Positions and padded sources; every batch of a width has the same shape."""
        cut = [ids[: self.widths[-1] - 1] for ids in tokens]
        needed = np.array([len(ids) + 1 for ids in cut], int)
        for width in self.widths:
            below = 1 + max((w for w in self.widths if w < width), default=1)
            members = np.flatnonzero((needed >= below) & (needed <= width))
            rows = max(1, self.batch_tokens // int(width))
            for start in range(0, len(members), rows):
                positions = members[start : start + rows]
                batch = np.full((rows if len(members) > rows else len(members), width), PAD, np.int32)
                for row, position in enumerate(positions):
                    batch[row, : len(cut[position]) + 1] = [*cut[position], END]
                yield positions, batch
