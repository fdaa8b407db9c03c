"""From token ids to padded batches: sentences of like length together, in a bounded set of shapes, by tokens.

Every batch of a bucket has the same shape, so that XLA and JAX compile as many programs as there are buckets.
"""

import numpy as np

from tfnmt.tokenizer import END, PAD, START

WIDTHS = (8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 152)
"""Padded lengths, at most twelve; the last one holds 150 tokens, start and end."""


class Pairs:
    """Tokenized pairs of sentences, sorted into buckets of one padded length each.

    Args:
        english, french: lists of lists of ids, without start and end.
        batch_tokens: padded tokens of a batch, of each side; a batch has as many rows as fit.
        widths: padded lengths of the buckets, ascending.
        least_rows: fewest rows of a batch, however long; rows are a multiple of it.

    Raises:
        ValueError: for unequal sides, none, or a sentence that the last bucket can't hold.
    """

    def __init__(self, english, french, batch_tokens=4096, widths=WIDTHS, least_rows=8):
        if len(english) != len(french) or not english:
            received = f"{len(english):,} and {len(french):,}"
            raise ValueError(f"Both sides need equally many sentences, at least one. Received: {received}")
        self.english, self.french, self.widths = english, french, np.asarray(widths)
        self.batch_tokens, self.least_rows = batch_tokens, least_rows
        self.lengths = np.array([[len(e) + 1, len(f) + 1] for e, f in zip(english, french, strict=True)])
        needed = self.lengths.max(axis=1)
        if needed.max() > self.widths[-1]:
            raise ValueError(f"A sentence of {needed.max() - 1} tokens does not fit into {self.widths[-1]}")
        bucket = np.searchsorted(self.widths, needed)
        members = {int(self.widths[b]): np.flatnonzero(bucket == b) for b in range(len(self.widths))}
        self.buckets = {width: positions for width, positions in members.items() if len(positions)}

    def __len__(self):
        return len(self.english)

    def rows(self, width):
        """Sentences in a batch of that padded length."""
        return max(1, self.batch_tokens // (width * self.least_rows)) * self.least_rows

    def shapes(self):
        """The shapes of all batches, `(rows, width)`."""
        return [(self.rows(width), width) for width in self.buckets]

    def batches(self, order=None):
        """Positions of the sentences of each batch, bucket by bucket: a list of `(width, positions)` lists.

        A bucket's sentences are shared out evenly, so that no batch has far fewer than others.

        Args:
            order: a function of a bucket's positions that reorders them; by default they stay as they are.
        """
        found = []
        for width, positions in self.buckets.items():
            positions = order(positions) if order else positions
            parts = np.array_split(positions, -(-len(positions) // self.rows(width)))
            found.append([(width, part) for part in parts])
        return found

    def batch(self, width, positions, rows=None):
        """One batch as a `Transformer` takes it: `({"source", "target"}, labels)`, int32 `(rows, width)`.

        Rows that no sentence fills are padding; by default there are as many as in each batch of that width.
        """
        source, target, labels = np.full((3, rows or self.rows(width), width), PAD, np.int32)
        for row, i in enumerate(positions):
            english, french = self.english[i], self.french[i]
            source[row, : len(english) + 1] = [*english, END]
            target[row, : len(french) + 1] = [START, *french]
            labels[row, : len(french) + 1] = [*french, END]
        return {"source": source, "target": target}, labels

    def padding(self):
        """Shares of padding among the tokens of both sides: in these batches, and in batches of as many sentences in
        the corpus's order that are as wide as their longest, or all as wide as the longest of all.

        Returns:
            Dictionary: `buckets`, `longest_of_batch`, `longest_of_all`.
        """
        needed, real = self.lengths.max(axis=1), self.lengths.sum()
        padded = sum(self.rows(w) * w * len(part) for part in self.batches() for w in [part[0][0]])
        rows = max(1, round(len(self) / sum(map(len, self.batches()))))
        starts = np.arange(0, len(self), rows)
        widths = np.maximum.reduceat(needed, starts) * np.diff([*starts, len(self)])
        totals = {"buckets": padded, "longest_of_batch": widths.sum(), "longest_of_all": needed.max() * len(self)}
        return {name: 1 - float(real / (2 * total)) for name, total in totals.items()}

    def dataset(self):
        """All batches in a fixed order, as a `tf.data.Dataset`."""
        return as_dataset(lambda: (self.batch(*b) for part in self.batches() for b in part), self.steps)

    @property
    def steps(self):
        """How many batches hold all sentences."""
        return sum(map(len, self.batches()))


class TrainingBatches:
    """Training batches as a pure function of (seed, epoch), so that a resumed run sees what it would have seen.

    Args:
        pairs: a `Pairs`.
        seed: of the order.
        run: how many batches of one shape follow each other; the runs are in random order.
    """

    def __init__(self, pairs, seed=0, run=16):
        self.pairs, self.seed, self.run = pairs, seed, run
        self.steps, self.examples = pairs.steps, len(pairs)

    def order(self, epoch):
        """`(width, positions)` of each batch of an epoch, in order."""
        rng = np.random.default_rng([self.seed, epoch])
        runs = []
        for bucket in self.pairs.batches(rng.permutation):
            runs += [bucket[i : i + self.run] for i in range(0, len(bucket), self.run)]
        return [batch for i in rng.permutation(len(runs)) for batch in runs[i]]

    def epoch(self, epoch):
        """The batches of one epoch, as a `tf.data.Dataset`; see `Pairs.batch`."""
        order = self.order(epoch)
        return as_dataset(lambda: (self.pairs.batch(*batch) for batch in order), self.steps)


def as_dataset(batches, count):
    """A `tf.data.Dataset` of `count` batches that a function yields."""
    import tensorflow as tf

    spec = tf.TensorSpec((None, None), tf.int32)
    signature = ({"source": spec, "target": spec}, spec)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)
