"""Pictures of translation models: learning curves and attention maps."""

import numpy as np

from experiments.harness.reporting.figures import curves, new_figure, save_png
from experiments.harness.reporting.report import read_histories
from experiments.harness.reporting.sections import by_variant
from tfnmt.translate import attention_map

PANELS = {
    "loss": "training loss, smoothed, dropout on",
    "val_loss": "validation loss, smoothed",
    "val_accuracy": "validation token accuracy",
}
MAPS = 3
TOKENS = (9, 18)
"""Fewest and most tokens of a sentence whose attention map is drawn: short enough to be read."""
LONGEST_DRAWN = 2 * TOKENS[1]
"""Tokens of its translation, which a poor model may not end."""


def draw_curves(records, results, path, title):
    """Draws the learning curves of models from their records; several seeds of one are averaged."""
    histories = read_histories(by_variant(records, lambda record: record["variant"]), results)
    curves(histories, path, title, PANELS, ("epoch", "epoch"), late=0.1)


def draw_attention(model, data, translations, path, title):
    """Draws what the last block looks at while it writes the translations of some test sentences, short ones.

    `data` is a `ParallelText`, and `translations` are those of its whole test split.
    """
    chosen, english = _readable(data), data.corpora["test"].english
    figure = new_figure(4.6 * len(chosen), 4.8, f"Cross-attention, last block, mean over heads. {title}")
    for axis, i in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
        columns, rows, weights = attention_map(model, data.tokenizer, english[i], translations[i])
        rows, weights = rows[:LONGEST_DRAWN], weights[:LONGEST_DRAWN]
        axis.imshow(weights, cmap="Blues", vmin=0, vmax=max(0.5, weights.max()), aspect="auto")
        axis.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=8, rotation_mode="anchor")
        axis.set_yticks(range(len(rows)), rows, fontsize=8)
        axis.spines[:].set_visible(False)
    save_png(figure, path)


def _readable(data):
    """Positions of test sentences with a readable number of tokens, spread over the split."""
    lengths = np.array([len(ids) for ids in data.tokenizer.encode(data.corpora["test"].english)])
    fitting = np.flatnonzero((lengths >= TOKENS[0]) & (lengths <= TOKENS[1]))
    fitting = fitting if len(fitting) >= MAPS else np.argsort(lengths, kind="stable")[:MAPS]
    return fitting[np.linspace(0, len(fitting) - 1, min(MAPS, len(fitting))).astype(int)]
