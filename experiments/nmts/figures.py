"""Pictures of translation models: learning curves and attention maps."""

import numpy as np

from experiments.harness.reporting.figures import curves, new_figure, save_png
from experiments.harness.reporting.report import read_histories
from experiments.harness.reporting.sections import by_variant
from tfnmt.tokenizer import END, PAD, START

PANELS = {
    "loss": "training loss, smoothed, dropout on",
    "val_loss": "validation loss, smoothed",
    "val_accuracy": "validation token accuracy",
}
MAPS = 3
TOKENS = (9, 18)
"""Fewest and most tokens of a sentence whose attention map is drawn: short enough to be read."""


def draw_curves(records, results, path, title):
    """Draws the learning curves of models; several seeds of one are averaged.

    Args:
        records: with `folder`, relative to `results`.
    """
    histories = read_histories(by_variant(records, lambda record: record["variant"]), results)
    curves({"": histories}, path, title, PANELS, ("epoch", "epoch"), late=0.1)


def draw_attention(model, data, translations, path, title):
    """Draws what the last block looks at while it writes the translations of some test sentences, short ones.

    Args:
        model: a `tfnmt.model.Transformer`.
        data: a `ParallelText`.
        translations: of its test split.
        path: PNG to write.
        title: of the figure.
    """
    chosen, english = _readable(data), data.corpora["test"].english
    sentences, french = [english[i] for i in chosen], [translations[i] for i in chosen]
    draw_sentences(model, data.tokenizer, sentences, french, path, title)


def draw_sentences(model, tokenizer, english, french, path, title):
    """Draws the last block's cross-attention for some sentences and their translations, a panel each.

    Weights are averaged over heads; a row is a French token, and shows where in the English sentence it looked.
    """
    sources = [[*ids, END] for ids in tokenizer.encode(english)]
    targets = [ids[: 2 * TOKENS[1]] for ids in tokenizer.encode(french)]
    weights = np.array(model.cross_attention(_padded(sources), _padded([[START, *ids] for ids in targets])))
    figure = new_figure(4.6 * len(english), 4.8, f"Cross-attention, last block, mean over heads. {title}")
    axes = figure.subplots(1, len(english), squeeze=False)[0]
    for axis, source, target, found in zip(axes, sources, targets, weights, strict=True):
        found = found[:, : len(target) + 1, : len(source)].astype("float32").mean(axis=0)
        axis.imshow(found, cmap="Blues", vmin=0, vmax=max(0.5, found.max()), aspect="auto")
        names = [tokenizer.pieces(ids) for ids in (source, [*target, END])]
        axis.set_xticks(range(len(source)), names[0], rotation=60, ha="right", fontsize=8, rotation_mode="anchor")
        axis.set_yticks(range(len(target) + 1), names[1], fontsize=8)
        axis.spines[:].set_visible(False)
    save_png(figure, path)


def _padded(rows):
    """Rows of ids as one array, int32 `(rows, length of the longest)`."""
    width = max(map(len, rows))
    return np.array([[*row, *[PAD] * (width - len(row))] for row in rows], np.int32)


def _readable(data):
    """Positions of test sentences with a readable number of tokens, spread over the split."""
    lengths = np.array([len(ids) for ids in data.tokenizer.encode(data.corpora["test"].english)])
    fitting = np.flatnonzero((lengths >= TOKENS[0]) & (lengths <= TOKENS[1]))
    fitting = fitting if len(fitting) >= MAPS else np.argsort(lengths, kind="stable")[:MAPS]
    return fitting[np.linspace(0, len(fitting) - 1, min(MAPS, len(fitting))).astype(int)]
