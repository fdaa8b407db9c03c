"""Pictures of the U-Net matrix: learning curves of a run, predictions of a variant, variants side by side."""

import numpy as np

from experiments.harness.reporting import figures, sections
from experiments.harness.reporting.report import field, read_histories
from experiments.unets.recipes import MATRIX, TUTORIAL


def rank(variant):
    """Sort key of a variant: the required ones first, then all others by name, the tutorial's last."""
    known = MATRIX.index(variant) if variant in MATRIX else len(MATRIX)
    return known, variant.startswith(TUTORIAL), variant


def by_variant(records):
    """Groups records into `{variant: [the record of a seed, ...]}`, in the order of tables and pictures."""
    return sections.by_variant(records, lambda record: rank(record["variant"]))


LINES = {
    "bce": ("BCE solid", "-"),
    "dice": ("Dice dashed", "--"),
    "bce_dice": ("BCE + Dice dotted", ":"),
}
"""How the curves of a loss are named and drawn; they don't compare with those of another loss."""


def draw_curves(records, results, path, title):
    """Draws the learning curves of a run from its records, with `folder` relative to `results`."""
    variants = by_variant(records)
    histories = {variant: [] for variant in MATRIX} | read_histories(variants, results)  # a colour each, if unfinished
    losses = {variant: field(seeds[0], "config.loss") for variant, seeds in variants.items()}
    lines = LINES | {loss: (f"{loss} dash-dotted", "-.") for loss in losses.values() if loss not in LINES}
    styles = {variant: lines[loss][1] for variant, loss in losses.items()}
    told = ", ".join(name for loss, (name, _) in lines.items() if loss in losses.values())
    panels = {"loss": f"Training loss ({told})", "val_iou": "Validation IoU"}
    figures.curves(histories, path, title, panels, styles=styles)


def draw_predictions(evaluation, names, path, title, scoring):
    """Draws the test images of the highest, the median and the lowest IoU.

    Args:
        evaluation: a `tfseg.evaluate.Evaluation`.
        names: a string an image of the test split.
        scoring: how masks are drawn, as in `experiments.unets.scoring`.
    """
    ranking = np.argsort(-np.asarray(evaluation.ious), kind="stable")
    count = len(ranking)
    picks = {count - 1: "worst", (count - 1) // 2: "median", 0: "best"}  # of one or two images, the last label stays
    rows, row_titles = [], []
    for place, label in sorted(picks.items()):
        n = ranking[place]
        image, truth, prediction = (kind[n] for kind in (evaluation.images, evaluation.truths, evaluation.predictions))
        laid = scoring.laid_over(image, prediction, truth), f"IoU {evaluation.ious[n]:.3f}"
        rows.append([image, scoring.tile(truth), scoring.tile(prediction), laid])
        row_titles.append(f"{label}\nrank {place + 1} of {count}\n{names[n]}")
    columns = ["photo", "truth", "prediction", "overlay"]
    figures.tile_grid(rows, columns, row_titles, path, title, legend=scoring.legend)


def draw_comparison(outcomes, names, path, title, scoring):
    """Draws the same test images under every variant, the row with the highest mean IoU on top.

    `outcomes` is `{variant: Evaluation}`, one column each; the other arguments are as for `draw_predictions`.
    """
    variants = sorted(outcomes, key=rank)
    first = outcomes[variants[0]]
    ranking = np.argsort(-np.mean([outcomes[variant].ious for variant in variants], axis=0), kind="stable")
    rows = []
    for n in ranking:
        row = [first.images[n], scoring.tile(first.truths[n])]
        for variant in variants:
            laid = scoring.laid_over(first.images[n], outcomes[variant].predictions[n], first.truths[n])
            row.append((laid, f"IoU {outcomes[variant].ious[n]:.3f}"))
        rows.append(row)
    row_titles = [names[n] for n in ranking]
    figures.tile_grid(rows, ["photo", "truth", *variants], row_titles, path, title, legend=scoring.legend)
