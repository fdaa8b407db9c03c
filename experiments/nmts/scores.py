"""How a trained transformer translates the test split, and how well it fits the data that it was trained on."""

import math
import time

import numpy as np

from tfnmt import evaluate
from tfnmt.losses import least_loss
from tfnmt.translate import Translator

FIT_PAIRS = 2_000  # training pairs whose loss is measured without dropout


def score(model, data, recipe, progress=print):
    """What the record of a model says: translations are scored once, on the test split.

    `data` is a `ParallelText`; `progress` is called with a line of text now and then.

    Returns:
        `(scores, translations)`: dictionary with `test` and `fit`; list of strings.
    """
    test, started = data.corpora["test"], time.perf_counter()
    translator = Translator(model, data.tokenizer, recipe.beam, recipe.penalty, recipe.search_tokens, recipe.widths)
    translations = translator.translate(test.english)
    seconds = time.perf_counter() - started
    progress(f"translated {len(test):,} sentences in {seconds:.0f} s")
    scores = evaluate.score(translations, test.french)
    scores |= losses(model, data, recipe, "test") | {"beam": recipe.beam, "penalty": recipe.penalty}
    scores["seconds"] = seconds
    fit = losses(model, data, recipe, "train", FIT_PAIRS)
    fit["least_loss"] = least_loss(data.tokenizer.size, recipe.label_smoothing)
    return {"test": scores, "fit": fit}, translations


def losses(model, data, recipe, part, limit=None):
    """Losses of a split without dropout.

    Args:
        limit: of pairs, drawn at random; None for all.

    Returns:
        Dictionary: `smoothed`, the training loss, and `cross_entropy`, both in nats a token; `perplexity` a token and
        `perplexity_per_character` of the French text; `token_accuracy`, the share of tokens ranked first; `pairs`.
    """
    pairs = data.pairs(part, recipe)
    chosen = np.arange(len(pairs))
    if limit and limit < len(pairs):
        chosen = np.sort(np.random.default_rng(0).choice(len(pairs), limit, replace=False))
        english, targets = ([side[i] for i in chosen] for side in (pairs.english, pairs.french))
        pairs = type(pairs)(english, targets, pairs.batch_tokens, pairs.widths)
    if not model.compiled:
        model.compile(jit_compile="auto")
    found = model.evaluate(pairs.dataset(), verbose=0, return_dict=True)
    nats = found["cross_entropy"] * int(pairs.lengths[:, 1].sum())
    characters = sum(len(data.tokenizer.decode(ids)) + 1 for ids in pairs.french)  # with the end of each sentence
    return {
        "smoothed": found["loss"],
        "cross_entropy": found["cross_entropy"],
        "perplexity": math.exp(found["cross_entropy"]),
        "perplexity_per_character": math.exp(nats / characters),
        "token_accuracy": found["accuracy"],
        "pairs": len(pairs),
    }


def one_line(scores):
    """The headline of a model's scores, for the terminal."""
    test = scores["test"]
    return (
        f"test BLEU {test['bleu']:.2f}, chrF {test['chrf']:.2f}, exact {test['exact_match']:.1%}, "
        f"perplexity {test['perplexity']:.2f}"
    )
