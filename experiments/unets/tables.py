"""Tables of the U-Net matrix: scores, scores by class, and how long training took until it was good."""

from itertools import accumulate
from pathlib import Path

from experiments.harness.reporting import report, sections
from experiments.harness.reporting.report import MISSING, field, mean_and_spread, over_seeds

SCORES = {
    "test IoU": "iou",
    "Dice": "dice",
    "per-image IoU": "per_image_iou",
    "pixel accuracy": "pixel_accuracy",
    "IoU w/o border": "iou_border_excluded",
}
MARK = 0.80


def main_table(variants):
    """The scores of the variants, those of the article's recipe marked with a dagger, and of predictors without model.

    Args:
        variants: `{variant: [the record of a seed, ...]}`; so in all tables here.
    """
    columns = {name: sections.of_first(f"config.{name}") for name in ("down", "up", "loss")}
    columns |= {"seeds": len, "parameters": sections.of_first("parameters")}
    columns |= {title: f"test.{key}" for title, key in SCORES.items()}
    rows = sections.rows(variants, columns | {"images/s": ("images_per_second", 1)}, "variant")
    for row, name in zip(rows, variants, strict=True):
        row["variant"] += " †" * name.startswith("tutorial")
    records = [record for seeds in variants.values() for record in seeds]
    for name in dict.fromkeys(name for record in records for name in record.get("trivial") or ()):
        rows += _trivial_rows(records, name)
    return sections.table(rows, ("down", "up", "loss"))


def _trivial_rows(records, name):
    told = report.told_apart(records, lambda record: (record.get("trivial") or {}).get(name))
    for scores, variants in told:
        label = name.replace("_", " ") + (f" ({', '.join(variants)})" if len(told) > 1 else "")
        yield {"variant": label, **{title: mean_and_spread([scores.get(key)]) for title, key in SCORES.items()}}


def more_table(variants):
    """Further scores of the same models, and the epoch that was chosen."""

    def epochs(seeds):
        found = [field(record, "validation.epoch") for record in seeds]
        return ", ".join(MISSING if epoch is None else str(epoch) for epoch in found)

    columns = {
        "IoU, photo size": "test.iou_native",
        "IoU, flip": "test_flip.iou",
        "Dice, flip": "test_flip.dice",
        "IoU, photo size, flip": "test_flip.iou_native",
        "validation IoU": "validation.iou",
        "chosen epoch, by seed": epochs,
        "training, min": ("seconds.training", 1, 1 / 60),
    }
    return sections.table(sections.rows(variants, columns, "variant"))


def class_table(variants):
    """Scores by class, of those variants that have them; empty where there are none.

    Returns:
        Markdown: on trimaps one table of the three classes; else IoU and Dice a class, and the confusion matrix of the
        model with the highest IoU.
    """
    variants = {name: seeds for name, seeds in variants.items() if all(field(s, "test.per_class_iou") for s in seeds)}
    if not variants:
        return ""
    own = {name: seeds for name, seeds in variants.items() if field(seeds[0], "test.confusion")}
    return _own_classes(own) if own else _three_classes(variants)


def _three_classes(variants):
    columns = {f"IoU of {name}": f"test.per_class_iou.{name}" for name in _classes(variants)}
    columns |= {"mean class IoU": "test.mean_class_iou", "three-class accuracy": "test.three_class_accuracy"}
    rows = sections.rows(variants, columns, "variant")
    return "**As three classes**, at the model's resolution:\n\n" + sections.table(rows)


def _own_classes(variants):
    header, rows = ["variant", "score", *_classes(variants), "mean"], []
    for name, seeds in variants.items():
        for label, kind in (("IoU", "iou"), ("Dice", "dice")):
            scores = [seed["test"][f"per_class_{kind}"] for seed in seeds]
            by_class = [mean_and_spread([score[each] for score in scores]) for each in _classes(variants)]
            rows.append([f"`{name}`", label, *by_class, over_seeds(seeds, f"test.mean_class_{kind}")])
    told = "**By class**, at the model's resolution. A class that neither occurs nor is predicted has no score:\n\n"
    return told + report.table(header, rows, left=2) + "\n\n" + _confusion(variants)


def _confusion(variants):
    """Where the pixels of each class went, in per cent, under the model with the highest IoU."""
    best = max((seed for seeds in variants.values() for seed in seeds), key=lambda record: record["test"]["iou"])
    classes, rows = _classes(variants), []
    for name, counts in zip(classes, best["test"]["confusion"], strict=True):
        shares = [100 * count / sum(counts) if sum(counts) else None for count in counts]
        rows.append([name, *[mean_and_spread([share], 1) for share in shares], f"{sum(counts):,}"])
    which = f"**Confusion matrix** of `{best['variant']}`, seed {best['seed']}"
    told = f"{which}: pixels of each class (a row) by what they were taken for, in %:\n\n"
    return told + report.table(["truth", *classes, "pixels"], rows)


def _classes(variants):
    return list(next(iter(variants.values()))[0]["test"]["per_class_iou"])


def pace_table(variants, results_dir):
    """Images and minutes of training until the validation IoU first is `MARK` or better.

    They are read from each record's `history.csv` below `results_dir`. Empty where no training got there.
    """
    rows = []
    for variant, records in variants.items():
        files = [Path(results_dir) / record["folder"] / "history.csv" for record in records]
        reached = [_reached(report.read_history(file)) for file in files if file.is_file()]
        arrived = [pace for pace in reached if pace]
        images, minutes = zip(*arrived, strict=True) if arrived else ([None], [None])
        cells = mean_and_spread(images, 0), mean_and_spread(minutes, 1)
        rows.append([f"`{variant}`", f"{len(arrived)} of {len(reached)}", *cells])
    if all(row[1].startswith("0") for row in rows):
        return ""
    title = f"**Training until the validation IoU is {MARK:.2f}**: mean of the seeds that got there."
    return f"{title}\n\n" + report.table(["variant", "seeds that got there", "images seen", "training, min"], rows)


def _reached(history):
    """`(images, minutes)` when the mark was first reached, or None."""
    seconds = accumulate(history["seconds"])
    for iou, images, elapsed in zip(history["val_iou"], history["images"], seconds, strict=True):
        if iou >= MARK:
            return images, elapsed / 60
    return None
