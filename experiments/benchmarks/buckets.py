"""What batches of sentences of like length gain while the assignment's transformer trains.

The sentences are those of the corpus `numbers`, so that lengths vary as they do in text, and no files are needed.
"""

import time
from statistics import median

import numpy as np

from experiments.benchmarks.processes import Child
from experiments.harness.reporting import report
from experiments.harness.running import hardware
from experiments.nmts.recipes import make_recipe

SENTENCES, BATCH_TOKENS, EVERY = 4096, 2048, 3
"""In all, padded tokens of a batch of buckets on each side, and the share of batches that are timed: one in so many."""


class BucketService:
    """Training on sentences of one corpus in two kinds of batches: in buckets, and in random order, where each side is
    padded to its longest sentence and a batch holds as many sentences as a batch of buckets on average."""

    def __init__(self):
        from experiments.nmts.training import build_model
        from tfnmt import numbers
        from tfnmt.batches import Pairs, TrainingBatches
        from tfnmt.tokenizer import Tokenizer

        machine = hardware.decide()
        recipe = make_recipe("multi30k", "assignment", "cpu", {})
        corpus = numbers.corpus("train", SENTENCES)
        tokenizer = Tokenizer.train(corpus.english + corpus.french, recipe.vocabulary)
        pairs = Pairs(*map(tokenizer.encode, (corpus.english, corpus.french)), BATCH_TOKENS, recipe.widths)
        order = sorted(TrainingBatches(pairs).order(0), key=lambda batch: batch[0])
        shuffled = np.array_split(np.random.default_rng(0).permutation(len(pairs)), len(order))
        widest = int(pairs.widths[-1])
        self.kinds = {
            "buckets": [pairs.batch(*batch) for batch in order[::EVERY]],
            "longest": [_trimmed(*pairs.batch(widest, part, rows=len(part))) for part in shuffled[::EVERY]],
        }
        self.model = build_model(recipe, recipe.vocabulary, 0, 10_000, machine.xla)

    def padding(self):
        """The share of padding among the tokens of both sides, by kind of batch."""
        sides = {kind: [s for x, labels in found for s in (x["source"], labels)] for kind, found in self.kinds.items()}
        return {
            kind: 1 - sum(map(np.count_nonzero, found)) / sum(s.size for s in found) for kind, found in sides.items()
        }

    def measure(self, turns):
        """Sentences a second by kind of batch, one number a turn; the first turn, which compiles, is not timed."""
        from tfnmt.batches import as_dataset

        speeds = {kind: [] for kind in self.kinds}
        for turn in range(turns + 1):
            for kind, batches in self.kinds.items():
                started = time.perf_counter()
                self.model.fit(as_dataset(lambda found=batches: iter(found), len(batches)), verbose=0)
                if turn:
                    sentences = sum(np.count_nonzero(labels[:, 0]) for _, labels in batches)
                    speeds[kind].append(sentences / (time.perf_counter() - started))
        return speeds


def _trimmed(inputs, labels):
    """A batch without the columns in which a whole side is padding."""
    source, target, labels = (side[:, : np.flatnonzero(side.any(0)).max() + 1] for side in (*inputs.values(), labels))
    return {"source": source, "target": target}, labels


def measure_buckets(turns, progress):
    """Measures both kinds of batches in one process, so many turns each, for the record."""
    with Child("experiments.benchmarks.buckets:BucketService") as child:
        padding, speeds = child.call("padding"), child.call("measure", turns)
    medians = {kind: median(found) for kind, found in speeds.items()}
    text = f"{medians['buckets']:.0f} sentences/s in buckets, {medians['longest']:.0f} in random order"
    progress.say("batches by length", text, taken=1)
    rows = [{"kind": kind, "padding": padding[kind], "turns": speeds[kind], "sentences_per_second": medians[kind]}
            for kind in speeds]  # fmt: skip
    return {"corpus": "numbers", "sentences": SENTENCES, "batch_tokens": BATCH_TOKENS, "rows": rows}


def tell_buckets(buckets):
    """Paragraphs on what batches by length gain."""
    (slowest,) = (row["sentences_per_second"] for row in buckets["rows"] if row["kind"] == "longest")
    titles = {"buckets": "by length, in buckets", "longest": "in random order, padded to the longest"}
    rows = [
        [titles[row["kind"]], f"{row['padding']:.0%}", f"{speed:,.1f}", f"{speed / slowest:.2f}"]
        for row in buckets["rows"]
        for speed in [row["sentences_per_second"]]
    ]
    text = (
        f"The assignment's transformer trains on {buckets['sentences']:,} sentences of `{buckets['corpus']}`; one "
        f"batch in {EVERY} of each kind is timed."
    )
    header = ["batches", "padding", "sentences/s", "times as fast"]
    return ["### Batches by length", text, report.table(header, rows)]
