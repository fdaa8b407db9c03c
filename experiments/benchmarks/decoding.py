"""What kept keys and values gain while the assignment's transformer translates, by kind of search."""

import time
from statistics import median

import numpy as np

from experiments.benchmarks.processes import Child
from experiments.harness.reporting import report
from experiments.harness.running import hardware
from experiments.nmts.recipes import make_recipe

SENTENCES, SOURCE, TOKENS = 16, 24, 40
"""Translated together, tokens of each, and tokens of each translation."""

PRECISION = "float32"
"""What `translate.py` computes in: half precision would convert all weights for each token."""

SEARCHES = {"greedy": 1, "beam of 5": 5}


class DecodingService:
    """Translations of random tokens by a network that has learned nothing, which ends no sentence early.

    `precision` is a Keras dtype policy, and `beam` the width of the beam; 1 is greedy search.
    """

    def __init__(self, precision, beam):
        import keras

        from tfnmt.decoding import Beam, Greedy
        from tfnmt.model import Transformer
        from tfnmt.tokenizer import SPECIAL

        hardware.decide(precision)
        keras.utils.set_random_seed(0)
        recipe = make_recipe("multi30k", "assignment", "cpu", {})
        names = ("layers", "width", "heads", "feed_forward")
        model = Transformer(recipe.vocabulary, **{name: getattr(recipe, name) for name in names})
        self.source = np.random.default_rng(0).integers(SPECIAL, recipe.vocabulary, (SENTENCES, SOURCE), "int32")
        options = {"growth": 0, "extra": TOKENS}
        self.searches = {
            kept: Greedy(model, kept=kept, **options) if beam == 1 else Beam(model, beam, kept=kept, **options)
            for kept in (True, False)
        }

    def measure(self, turns):
        """Tokens a second of the translations, with keys and values kept and without, one number a turn each."""
        speeds = {"kept": [], "recomputed": []}
        for search in self.searches.values():
            search.predict_on_batch(self.source)
        for _ in range(turns):
            for name, search in zip(speeds, self.searches.values(), strict=True):
                started = time.perf_counter()
                tokens, _ = search.predict_on_batch(self.source)
                speeds[name].append(int((tokens != 0).sum()) / (time.perf_counter() - started))
        return speeds


def measure_decoding(turns, progress):
    """Measures each kind of search in a process of its own, in `PRECISION`, so many turns each, for the record."""
    rows = []
    for search, beam in SEARCHES.items():
        with Child("experiments.benchmarks.decoding:DecodingService", PRECISION, beam) as child:
            speeds = child.call("measure", turns)
        medians = {name: median(values) for name, values in speeds.items()}
        rows.append({"search": search, "turns": speeds, "tokens_per_second": medians})
        text = f"{medians['kept']:.0f} tokens/s with kept keys and values, {medians['recomputed']:.0f} without"
        progress.say(f"decoding, {search}", text, taken=1)
    sizes = {"sentences": SENTENCES, "source_tokens": SOURCE, "tokens": TOKENS, "precision": PRECISION}
    return {**sizes, "rows": rows}


def tell_decoding(decoding):
    """Paragraphs on what kept keys and values gain."""
    header = ["search", "tokens/s, kept", "tokens/s, all anew", "times as fast"]
    rows = []
    for row in decoding["rows"]:
        kept, recomputed = (row["tokens_per_second"][name] for name in ("kept", "recomputed"))
        rows.append([row["search"], f"{kept:,.0f}", f"{recomputed:,.0f}", f"{kept / recomputed:.1f}"])
    text = (
        f"The assignment's transformer translates {decoding['sentences']} sentences of {decoding['source_tokens']} "
        f"tokens into {decoding['tokens']} tokens each, in {decoding['precision']}. *Kept*: keys and values of earlier "
        "tokens are kept. *All anew*: each token is computed from all before it."
    )
    return ["### Decoding", text, report.table(header, rows)]
