"""Pictures of translation models: learning curves and attention maps."""

import numpy as np

from experiments.harness.reporting.figures import curve_rows, new_figure, save_png
from experiments.harness.reporting.report import read_history
from tfnmt.tokenizer import END, START

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
    histories = {}
    for record in records:
        histories.setdefault(record["variant"], []).append(read_history(results / record["folder"] / "history.csv"))
    curve_rows({"": histories}, path, title, PANELS, ("epoch", "epoch"), late=0.1)


def draw_attention(model, data, translations, path, title):
    """Draws what the last block's cross-attention looks at while it writes the translations of some test sentences.

    Weights are averaged over heads; a row is a French token, and shows where in the English sentence it looked.
    """
    chosen = _readable(data)
    figure = new_figure(4.6 * len(chosen), 4.8, f"Cross-attention, last block, mean over heads. {title}")
    axes = figure.subplots(1, len(chosen), squeeze=False)[0]
    for axis, i in zip(axes, chosen, strict=True):
        source = data.tokenizer.encode([data.corpora["test"].english[i]])[0]
        target = data.tokenizer.encode([translations[i]])[0][: 2 * TOKENS[1]]
        tokens = [np.array([ids], np.int32) for ids in ([*source, END], [START, *target])]
        weights = np.array(model.cross_attention(*tokens))[0].astype("float32").mean(axis=0)
        axis.imshow(weights, cmap="Blues", vmin=0, vmax=max(0.5, weights.max()), aspect="auto")
        names = [data.tokenizer.pieces([*ids, END]) for ids in (source, target)]
        axis.set_xticks(range(len(names[0])), names[0], rotation=60, ha="right", fontsize=8, rotation_mode="anchor")
        axis.set_yticks(range(len(names[1])), names[1], fontsize=8)
        axis.spines[:].set_visible(False)
    save_png(figure, path)


def _readable(data):
    """Positions of test sentences with a readable number of tokens, spread over the split."""
    lengths = np.array([len(ids) for ids in data.tokenizer.encode(data.corpora["test"].english)])
    fitting = np.flatnonzero((lengths >= TOKENS[0]) & (lengths <= TOKENS[1]))
    fitting = fitting if len(fitting) >= MAPS else np.argsort(lengths, kind="stable")[:MAPS]
    return fitting[np.linspace(0, len(fitting) - 1, min(MAPS, len(fitting))).astype(int)]
