"""How long U-Nets train until they are good: a table of the summary, from the histories of a run."""

from itertools import accumulate
from pathlib import Path

from experiments.harness.reporting import report

MARK = 0.80


def pace_table(variants, results_dir):
    """Images and minutes of training until the validation IoU first is `MARK` or better.

    Args:
        variants: `{variant: records}` with `folder`.
        results_dir: folder of the summary; below it lies each record's `history.csv`.

    Returns:
        Markdown; empty where no training got there.

    Raises:
        UserError: for a history that cannot be read; the message names it.
    """
    rows = []
    for variant, records in variants.items():
        files = [Path(results_dir) / record["folder"] / "history.csv" for record in records]
        reached = [_reached(report.read_history(file)) for file in files if file.is_file()]
        arrived = [pace for pace in reached if pace]
        images, minutes = zip(*arrived, strict=True) if arrived else ([None], [None])
        cells = report.mean_and_spread(images, 0), report.mean_and_spread(minutes, 1)
        rows.append([f"`{variant}`", f"{len(arrived)} of {len(reached)}", *cells])
    if all(row[1].startswith("0") for row in rows):
        return ""
    title = f"**Training until the validation IoU is {MARK:.2f}**: mean of the seeds that got there."
    return f"{title}\n\n" + report.table(["variant", "seeds that got there", "images seen", "training, min"], rows)


def _reached(history):
    """`(images, minutes)` when the mark was first reached, or None."""
    seconds = accumulate(history.get("seconds", []))
    for iou, images, elapsed in zip(history.get("val_iou", []), history.get("images", []), seconds, strict=False):
        if iou >= MARK:
            return images, elapsed / 60
    return None
