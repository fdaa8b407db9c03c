"""Tables of models that tell several classes apart."""

from experiments.harness.reporting import report
from experiments.harness.reporting.report import field, over_seeds


def class_table(variants):
    """Scores by class, of those variants that have them; empty where there are none.

    Args:
        variants: `{variant: [the record of a seed, ...]}`.

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
    paths = ["test.mean_class_iou", "test.three_class_accuracy"]
    rows = [
        [f"`{name}`", *_by_class(seeds, "per_class_iou"), *[over_seeds(seeds, path) for path in paths]]
        for name, seeds in variants.items()
    ]
    header = ["variant", *[f"IoU of {name}" for name in _classes(variants)], "mean class IoU", "three-class accuracy"]
    return "**As three classes**, at the model's resolution:\n\n" + report.table(header, rows)


def _own_classes(variants):
    header = ["variant", "score", *_classes(variants), "mean"]
    rows = []
    for name, seeds in variants.items():
        for label, kind in (("IoU", "iou"), ("Dice", "dice")):
            mean = over_seeds(seeds, f"test.mean_class_{kind}")
            rows.append([f"`{name}`", label, *_by_class(seeds, f"per_class_{kind}"), mean])
    told = "**By class**, at the model's resolution. A class that neither occurs nor is predicted has no score:\n\n"
    return told + report.table(header, rows, left=2) + "\n\n" + _confusion(variants)


def _confusion(variants):
    """Where the pixels of each class went, in per cent, under the model with the highest IoU."""
    best = max((seed for seeds in variants.values() for seed in seeds), key=lambda record: record["test"]["iou"])
    classes, rows = _classes(variants), []
    for name, counts in zip(classes, best["test"]["confusion"], strict=True):
        shares = [100 * count / sum(counts) if sum(counts) else None for count in counts]
        rows.append([name, *[report.mean_and_spread([share], 1) for share in shares], f"{sum(counts):,}"])
    which = f"**Confusion matrix** of `{best['variant']}`, seed {best['seed']}"
    told = f"{which}: pixels of each class (a row) by what they were taken for, in %:\n\n"
    return told + report.table(["truth", *classes, "pixels"], rows)


def _classes(variants):
    return list(next(iter(variants.values()))[0]["test"]["per_class_iou"])


def _by_class(seeds, kind):
    return [report.mean_and_spread([seed["test"][kind].get(name) for seed in seeds]) for name in seeds[0]["test"][kind]]
