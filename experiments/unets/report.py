"""What the summary says of the U-Net matrix: its section of `results/summary.md`."""

from pathlib import Path
from urllib.parse import quote

from experiments.harness.reporting import report
from experiments.harness.reporting.report import field, over_seeds, run_folders
from experiments.unets.class_tables import class_table
from experiments.unets.figures import by_variant, draw_comparison, draw_pictures, draw_predictions
from experiments.unets.pace import pace_table
from experiments.unets.recipes import MATRIX, TUNED, TUTORIAL, TUTORIAL_KERAS3, VARIANTS

__all__ = ["draw_comparison", "draw_pictures", "draw_predictions", "unet_section"]

TARGETS = {
    "foreground": "object and border against background",
    "pet": "object against border and background",
    "trimap": "object, background and border as three classes, object and border merged for the scores",
}

INTRODUCTION = """## U-Net

Four U-Nets that differ in how they go down (max pooling or strided convolution), how they go up (transposed convolution
or upsampling) and in the loss (cross-entropy or soft Dice), beside two predictors that need no model and, where they
were run, a U-Net on a pretrained encoder and the recipe of the tutorial article. All scores are of the foreground on
the test images, in [0, 1], higher is better:

- **IoU** and **Dice** pool the pixels of all test images at the model's resolution; **per-image IoU** averages one IoU
  an image.
- **IoU w/o border** leaves out the pixels of the border ring, which the dataset marks as neither object nor background.
- **Photo size**: the probabilities are first scaled to each photo's own resolution.
- **Flip**: the predictions of each image and its mirror image are averaged.
"""

MORE = """**More scores of the same models**, at photo size and with test-time flip. The chosen epoch is the one whose
weights were kept and tested."""

SCORES = {
    "test IoU": "iou",
    "Dice": "dice",
    "per-image IoU": "per_image_iou",
    "pixel accuracy": "pixel_accuracy",
    "IoU w/o border": "iou_border_excluded",
}

REQUIRED = ("dataset", "run", "variant", "seed", "data.train", "data.validation", "data.test", "test.iou", "command")


def unet_section(records, results_dir):
    """The U-Net section: one part a dataset, one table a run.

    Args:
        records: records of the experiment, with `folder`.
        results_dir: folder of the summary, which holds the runs' pictures.

    Returns:
        Markdown.

    Raises:
        UserError: for a record that lacks what the tables need; the message names it.
    """
    report.require(records, REQUIRED)
    parts, dataset = [INTRODUCTION], None
    for folder, run in run_folders(records).items():
        if run[0]["dataset"] != dataset:
            dataset = run[0]["dataset"]
            parts.append(f"### {dataset}")
        parts += [f"#### Run `{run[0]['run']}`", *_run(run, folder, results_dir)]
    return "\n\n".join(part.strip() for part in parts if part)


def short_table(records):
    """The run's main table and a sentence on its data, for the README; arguments and result as for `unet_section`."""
    variants, config = by_variant(records), records[0]["config"]
    what = (
        f"{_data(records[0])}. Target `{config['target']}`, {config['image_size']} x {config['image_size']} pixels, "
        f"{config['filters']} filters at the first level; {report.hardware(records[0])}."
    )
    notes = [what, report.spread_note([len(seeds) for seeds in variants.values()])]
    commands = "Made by " + ", ".join(f"`{command}`" for command in dict.fromkeys(r["command"] for r in records)) + "."
    return "\n\n".join([_main_table(variants, records), " ".join(note for note in notes if note), commands])


def _is_tutorial(variant):
    return variant.startswith(TUTORIAL)


def _run(records, folder, results_dir):
    variants = by_variant(records)
    counts = [len(seeds) for seeds in variants.values()]
    notes = [report.spread_note(counts), "Images/s: training images a second of training."]
    if any(map(_is_tutorial, variants)):
        notes.append("† The tutorial article's recipe.")
    if TUTORIAL_KERAS3 in variants:
        notes.append(f"`{TUTORIAL_KERAS3}`: its code unchanged, where Keras 3 lets batch normalization learn.")
    if any(VARIANTS[name].weights for name in variants if name in VARIANTS):
        notes.append("`pretrained-...`: its encoder starts from ImageNet's weights, all others from random ones.")
    if TUNED in variants:
        notes.append(f"`{TUNED}`: blocks and loss from the file of `--hparams`, as a search found them.")
    return [
        _unfinished(variants),
        _main_table(variants, records),
        " ".join(note for note in notes if note),
        _facts(records),
        "Commands:\n\n" + report.code_block(record["command"] for record in records),
        MORE,
        _more_table(variants),
        pace_table(variants, results_dir),
        class_table(variants),
        *_pictures(variants, folder, results_dir),
    ]


def _unfinished(variants):
    """Names what the run lacks: required variants without a record, and seeds that other variants have.

    A run without any of the required variants lacks nothing: it was never to be the matrix.
    """
    required = {variant: {record["seed"] for record in variants.get(variant, [])} for variant in MATRIX}
    if not any(required.values()):
        return ""
    gaps = [f"`{variant}`" for variant, seeds in required.items() if not seeds]
    for variant, seeds in required.items():
        missing = sorted(set.union(*required.values()) - seeds)
        if seeds and missing:
            gaps.append(f"`{variant}` with seed {', '.join(map(str, missing))}")
    return f"> This run is not complete. No record yet of {', '.join(gaps)}." if gaps else ""


def _main_table(variants, records):
    columns = {name: key for name, key in SCORES.items() if any(key in record["test"] for record in records)}
    header = ["variant", "down", "up", "loss", "seeds", "parameters", *columns, "images/s"]
    rows = []
    for variant, seeds in variants.items():
        dagger = " †" if _is_tutorial(variant) else ""
        config = [field(seeds[0], f"config.{key}") for key in ("down", "up", "loss")]
        scores = [over_seeds(seeds, f"test.{key}") for key in columns.values()]
        parameters = report.mean_and_spread([field(seeds[0], "parameters")], 0)
        speed = over_seeds(seeds, "images_per_second", 1)
        rows.append([f"`{variant}`{dagger}", *config, len(seeds), parameters, *scores, speed])
    for name in dict.fromkeys(name for record in records for name in record.get("trivial") or ()):
        rows += _trivial_rows(records, name, columns)
    return report.table(header, rows, left=4)


def _trivial_rows(records, name, columns):
    rows = []
    told = report.told_apart(records, lambda record: field(record, f"trivial.{name}"))
    for trivial, variants in told:
        label = name.replace("_", " ") + (f" ({', '.join(variants)})" if len(told) > 1 else "")
        scores = [report.mean_and_spread([trivial.get(key)]) for key in columns.values()]
        rows.append([label, *[None] * 5, *scores, None])
    return rows


def _more_table(variants):
    header = ["variant", "IoU, photo size", "IoU, flip", "Dice, flip", "IoU, photo size, flip"]
    paths = ["test.iou_native", "test_flip.iou", "test_flip.dice", "test_flip.iou_native", "validation.iou"]
    rows = []
    for variant, seeds in variants.items():
        epochs = [field(record, "validation.epoch") for record in seeds]
        epochs = ", ".join(report.MISSING if epoch is None else str(epoch) for epoch in epochs)
        minutes = report.mean_and_spread([_minutes(record) for record in seeds], 1)
        rows.append([f"`{variant}`", *[over_seeds(seeds, path) for path in paths], epochs, minutes])
    return report.table([*header, "validation IoU", "chosen epoch, by seed", "training, min"], rows)


def _minutes(record):
    seconds = field(record, "seconds.training")
    return None if seconds is None else seconds / 60


def _facts(records):
    """What the table was computed on, as a list."""
    return report.facts(
        records,
        {
            "Data": _data,
            "Target": _target,
            "Training": _training,
            "Hardware": report.hardware,
            "Software": report.software,
        },
    )


def _pictures(variants, folder, results_dir):
    """Markdown of the run's pictures, and links to those of single records; whatever exists."""
    run = next(iter(variants.values()))[0]
    where = f"{run['dataset']}, run {run['run']}"
    parts = [
        report.picture(
            results_dir,
            f"{folder}/curves.png",
            f"Training loss and validation IoU over images seen, a line a variant ({where})",
            "Learning curves. Bold: mean over seeds; faint: each seed. Losses of different kinds do not compare.",
        ),
        report.picture(
            results_dir,
            f"{folder}/comparison.png",
            f"The same test images with their true mask and each variant's prediction ({where})",
            "The same test images under each variant, with the IoU of each. White line: outline of the prediction.",
        ),
    ]
    links = []
    for variant, seeds in variants.items():
        paths = [f"{record['folder']}/predictions.png" for record in seeds]
        links += [f"[{variant}]({quote(path)})" for path in paths if (Path(results_dir) / path).is_file()][:1]
    return [*parts, f"Best, median and worst test image of {', '.join(links)}." if links else ""]


def _data(record):
    data = record["data"]
    train = data["train"] + data["validation"]
    return (
        f"{train:,} train / {data['test']:,} test images of `{record['dataset']}`; {data['validation']:,} of the "
        f"{train:,} are held out to choose the epoch"
    )


def _target(record):
    target = field(record, "config.target")
    if names := field(record, "data.classes.names"):
        means = "" if len(names) == 2 else "; IoU and Dice are means over the classes"
        return f"{len(names)} classes: {', '.join(names)}{means}"
    return f"`{target}`, {TARGETS[target]}" if target in TARGETS else target


def _training(record):
    config = record.get("config") or {}
    rate = {True: "one-cycle learning rate up to {}", False: "constant learning rate {}"}
    known = {
        "image_size": "{0} x {0} pixels",
        "filters": "{} filters at the first level",
        "depth": "depth {}",
        "normalization": "{} normalization",
        "dropout": "dropout {}",
        "encoder_rate": "the encoder at {} of the learning rate",
        "ema": "averaged weights (momentum {})",
        "batch_size": "batches of {}",
        "epochs": "{} epochs",
        "optimizer": "{}",
        "learning_rate": rate.get(config.get("one_cycle"), "learning rate {}"),
        "weight_decay": "weight decay {}",
        "augmentation": "augmentation strength {}",
    }
    parts = [text.format(config[key]) for key, text in known.items() if config.get(key)]
    seen = record.get("images_seen")
    return ", ".join(parts + [f"{seen:,} images seen"] * bool(seen)) or None


SECTIONS = (report.Section("unet", 1, unet_section, short_table),)
