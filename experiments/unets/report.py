"""What the summary says of the U-Net matrix: its section of `results/summary.md`."""

from experiments.harness.reporting import report, sections
from experiments.harness.reporting.report import field
from experiments.unets.figures import by_variant
from experiments.unets.recipes import MATRIX, TUNED, TUTORIAL, TUTORIAL_KERAS3, VARIANTS
from experiments.unets.tables import class_table, main_table, more_table, pace_table

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

REQUIRED = ("dataset", "run", "variant", "seed", "data.train", "data.validation", "data.test", "test.iou", "command")

DAGGER = "† The tutorial article's recipe{}."
THREE_CLASSES = ": three classes, categorical cross-entropy"


def unet_section(records, results_dir):
    """The U-Net section of the summary; arguments, result and error as of `sections.section`."""
    return sections.section(records, results_dir, INTRODUCTION, REQUIRED, _run)


def short_table(records):
    """What the README shows of a run."""
    config = records[0]["config"]
    what = (
        f"{sections.images(records[0])}. Target `{config['target']}`, {config['image_size']} x {config['image_size']} "
        f"pixels, {config['filters']} filters at the first level; {sections.machines(records)}."
    )
    halved = any(field(record, "config.half_size") for record in records)
    what = " ".join([what, *_dagger(records), *["Images/s at full size."] * halved])
    return sections.short(main_table(by_variant(records)), records, what, map(report.command, records))


def _run(records, folder, results_dir):
    variants = by_variant(records)
    counts = [len(seeds) for seeds in variants.values()]
    notes = [report.spread_note(counts), "Images/s: training images a second of training, at full size."]
    notes += _dagger([record for seeds in variants.values() for record in seeds])
    if TUTORIAL_KERAS3 in variants:
        notes.append(f"`{TUTORIAL_KERAS3}`: its code unchanged, where Keras 3 lets batch normalization learn.")
    if any(VARIANTS[name].weights for name in variants if name in VARIANTS):
        notes.append("`pretrained-...`: its encoder starts from ImageNet's weights, all others from random ones.")
    if TUNED in variants:
        notes.append(f"`{TUNED}`: blocks and loss from the file of `--hparams`, as a search found them.")
    return [
        _unfinished(variants),
        main_table(variants),
        " ".join(note for note in notes if note),
        sections.facts(records, {"Data": sections.images, "Target": _target, "Training": _training}),
        sections.commands(map(report.command, records)),
        MORE,
        more_table(variants),
        pace_table(variants, results_dir),
        class_table(variants),
        *_pictures(variants, folder, results_dir),
    ]


def _dagger(records):
    """What the dagger of `main_table` stands for, where there is one."""
    targets = {field(record, "config.target") for record in records if record["variant"].startswith(TUTORIAL)}
    return [DAGGER.format(THREE_CLASSES if targets == {"trimap"} else "")] if targets else []


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


def _pictures(variants, folder, results_dir):
    """Markdown of the run's pictures, and links to those of single records; whatever exists."""
    run = next(iter(variants.values()))[0]
    where = f"{run['dataset']}, run {run['run']}"
    predictions = [(variant, f"{seeds[0]['folder']}/predictions.png") for variant, seeds in variants.items()]
    return [
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
        sections.links(results_dir, "Best, median and worst test image of", predictions, ", "),
    ]


def _target(record):
    target = field(record, "config.target")
    if names := field(record, "data.classes.names"):
        means = "" if len(names) == 2 else "; IoU and Dice are means over the classes"
        return f"{len(names)} classes: {', '.join(names)}{means}"
    return f"`{target}`, {TARGETS[target]}" if target in TARGETS else target


def _training(record):
    config = record.get("config") or {}
    rate = {True: "one-cycle learning rate up to {}", False: "constant learning rate {}"}
    texts = {
        "image_size": "{0} x {0} pixels",
        "filters": "{} filters at the first level",
        "depth": "depth {}",
        "encoder_scale": "the encoder sees images at {} times their size",
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
        "half_size": "the first {:.0%} of the epochs on images of half the side",
    }
    return sections.training(record, texts)


SECTIONS = (report.Section("unet", 1, unet_section, short_table),)
