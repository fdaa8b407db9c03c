"""What the summary says of conditional VAEs and of the judge: their sections of `results/summary.md`."""

import re
from pathlib import Path
from urllib.parse import quote

from experiments.cvaes import tables
from experiments.cvaes.plots import draw_pictures
from experiments.cvaes.recipes import ELBO_SAMPLES
from experiments.harness.reporting import report
from experiments.harness.reporting.report import field, run_folders

__all__ = ["cvae_section", "draw_pictures", "judge_section", "short_table"]

INTRODUCTION = f"""## Conditional VAE

A conditional VAE turns an image into a few numbers, its latent, and those back into an image; it is told the image's
label on both ways. The question: does the label decide what comes out? Test images are sent in with a wrong label, and
the judge, a classifier of real images, says which class the output shows. All scores are of the test split unless a
column says otherwise; the judge only measures.

- **−ELBO** bounds −log p(x|y), in nats an image, lower is better: KL weight 1 and no free bits, whatever the training
  used, and {ELBO_SAMPLES} latents an image. **−ELBO + ln 10** bounds −log p(x) and so compares with models that know no
  labels. **IW-NLL** is the tighter, importance-weighted bound; **bits/dim** is −ELBO in bits, divided by pixels and
  colours.
- **KL**: the nats that the latent says of an image. **Active units**: latent units in use, those whose mean varies over
  images with a variance above 0.01; where each class has a prior of its own, relative to that and in its standard
  deviations. **Error a pixel**: mean squared error of reconstructions, pixels in [0, 1].
- **Samples**: share of new images, drawn from the prior, that the judge reads as the class asked for.
- **Read as asked**: share of relabelled images that the judge reads as the wrong label. **(a)**: encoder and decoder
  are told the wrong label, which is what sending an image in with a wrong label means. **(b)**: the encoder is told the
  true one, the decoder the wrong one. **(shift)**, where each class has a prior of its own: as (b), and the latent
  moves from the true class's prior to the other's.
- **Label noise**: share of the training images whose encoder is told a random wrong label, while the decoder is told
  the right one. It still trains a bound of log p(x|y), and without it nothing says what an encoder makes of an image
  under a wrong label, as in (a).
- **Label by**: how encoder and decoder are told the label. *modulation*: it scales and shifts the features of every
  residual block; *input*: once, beside the input; *prior*: the decoder by modulation; the encoder is not told, but
  its latent moves from the prior of the class that it looks like to the prior of the label; (b), where the two are told
  different labels, asks such a model for what it has never seen.
- **Label ignored**: what a model that ignores its label would score in "read as asked"; r is the judge's accuracy on
  plain reconstructions.
- **Retention**: share of outputs whose nearest test image, by squared error, is the very image sent in. A model that
  draws any image of the class obeys the label too, and keeps nothing.
- **Still true**: share of relabelled images that are read as their true class all the same.
- **Judge**: its own accuracy on real images (validation and test together), on the test images as the models get them,
  and on reconstructions.
"""

JUDGE = """## Judge

Small classifiers of real images. They say which class a generated image shows, and that is all they are used for: no
loss, gradient or checkpoint comes from them. Their own accuracy on real images they were not trained on:
"""

BLURRED = "{:.0%} of the training images were made 2 or 4 times coarser: what a decoder makes of a photo is smooth"

PICTURES = {
    "wrong_labels": (
        "25 test images beside what the model makes of them under a wrong label, with the judge's reading",
        "Test images sent in with a wrong label, drawn at random.",
    ),
    "label_sweep": (
        "Ten test images, each decoded under all ten labels",
        "One image a row, shown under every label; framed: its own. The latent is held; where labels enter by `prior`, "
        "it moves from the prior of one class to that of the other.",
    ),
    "samples": ("New images of each class", "Samples, a row a class."),
    "reconstructions": ("Test images, each above its reconstruction", "Test images and their reconstructions."),
    "latents": (
        "Two principal components of the latent means of test images, coloured by class",
        "Latent means, along the two directions of largest variance.",
    ),
    "curves": (
        "Negative ELBO, reconstruction and KL over images seen, in training and on validation images",
        "Learning curves; the vertical axes fit the last four fifths of the training.",
    ),
}

REQUIRED = (
    *("dataset", "run", "variant", "seed", "command", "class_names", "judge.accuracy"),
    *("data.train", "data.validation", "data.test", "test.negative_elbo", "test.sample_accuracy.accuracy"),
    *("test.relabel.readings.a.accuracy", "test.relabel.readings.b.accuracy", "test.relabel.readings.a.retention"),
)
_MODELS = re.compile(r" --model(?: (?!-)\S+)+")
JUDGE_REQUIRED = ("dataset", "run", "variant", "command", "accuracy")


def cvae_section(records, results_dir):
    """The conditional VAEs' section: one part a dataset, in it one a run, then the dataset's pictures.

    Args:
        records: records of the experiment, with `folder`.
        results_dir: folder of the summary, which holds the pictures.

    Returns:
        Markdown.

    Raises:
        UserError: for a record that lacks what the tables need; the message names it.
    """
    report.require(records, REQUIRED)
    parts, datasets = [INTRODUCTION], {}
    for folder, run in run_folders(records).items():
        datasets.setdefault(run[0]["dataset"], {})[folder] = run
    for dataset in sorted(datasets, key=tables.dataset_rank):
        runs = datasets[dataset]
        parts.append(f"### {dataset}")
        for folder, run in runs.items():
            parts += [f"#### Run `{run[0]['run']}`", *_run(run, folder, results_dir)]
        parts += _pictures(dataset, runs, results_dir)
    return "\n\n".join(part.strip() for part in parts if part)


def judge_section(records, results_dir):
    """The judges' section: one table; arguments, result and error as for `cvae_section`."""
    report.require(records, JUDGE_REQUIRED)
    made = dict.fromkeys(f"- {report.hardware(record)}; {report.software(record)}." for record in records)
    blurred = [
        f"- {r['dataset']}, `{r['run']}`: {BLURRED.format(r['config']['blur'])}."
        for r in records
        if field(r, "config.blur")
    ]
    facts = "\n".join([*dict.fromkeys(blurred), *made])
    commands = report.code_block(_MODELS.sub("", record["command"]) for record in records)
    parts = [JUDGE.strip(), tables.judge_table(records), facts, "Commands, which train models too:", commands]
    return "\n\n".join(parts)


def short_table(records):
    """The headline models of a run and a sentence on their data, for the README; arguments as for `cvae_section`."""
    models = tables.headline(tables.by_model(records))
    shown = [record for seeds in models.values() for record in seeds]
    what = f"{_data(shown[0])}. Shares are in percent; {report.hardware(shown[0])}."
    notes = " ".join(filter(None, [what, report.spread_note([len(seeds) for seeds in models.values()])]))
    commands = "Made by " + ", ".join(f"`{command}`" for command in _commands(shown)) + "."
    return "\n\n".join([tables.short_table(models), notes, commands])


def _run(records, folder, results_dir):
    models = tables.by_model(records)
    facts = {
        "Data": _data,
        "Label control": _relabelling,
        "IW-NLL": _importance,
        "Training": _training,
        "Hardware": report.hardware,
        "Software": report.software,
    }
    return [
        tables.model_table(models),
        report.spread_note([len(seeds) for seeds in models.values()]),
        "**Label control**, in percent, under a wrong label:",
        tables.control_table(models),
        report.facts(records, facts),
        "Commands:\n\n" + report.code_block(_commands(records)),
        *_trade_off(records, folder, results_dir),
        *_classes(models),
    ]


def _classes(models):
    table = tables.class_table(tables.headline(models))
    return ["**Class by class**: share in percent that the judge reads as the class asked for.", table] if table else []


def _trade_off(records, folder, results_dir):
    points = tables.trade_off(records)
    if not points:
        return []
    accuracy, retention = tables.AIM
    reached = [f"`{point['name']}`" for point in points if tables.share_of_aim(point) >= 1]
    judges = list(dict.fromkeys(f"{record['judge']['accuracy']:.1%}" for record in records))
    judge = (
        " or ".join(judges)
        + " of real images"
        + ", trained more than once: the table above says which" * (len(judges) > 1)
    )
    nearest = max((point for point in points if not point["chosen"]), key=tables.share_of_aim)
    others = "".join(
        f"`{p['name']}` (★) has {tables.share_of_aim(p):.2f}; of the others, " for p in points if p["chosen"]
    )
    best_b = max(points, key=lambda point: tables.share_of_aim(point, "b"))
    text = (
        "**Label control against what it costs**: the models sorted by reading (a) on validation images, where the "
        "choice was made (★: chosen). Shares in percent, retention in reading (a); *ignored*: (a) or (b) of a model "
        f"that ignores its label; the judge reads {judge}. The aim, {accuracy:.0%} in reading "
        f"(a) with a retention of at least {retention:.0%}, is reached on validation images by "
        f"{', '.join(reached) or 'none of them'}. By the smaller of reading (a) / {accuracy:.0%} and retention / "
        f"{retention:.0%}, {others}`{nearest['name']}` is the nearest to it, with {tables.share_of_aim(nearest):.2f}. "
        f"In reading (b), with the retention there, `{best_b['name']}` is, with {tables.share_of_aim(best_b, 'b'):.2f}."
    )
    picture = report.picture(
        results_dir,
        f"{folder}/tradeoff.png",
        "Scatter plots of the models: relabel accuracy against retention and against bits per dimension",
        "Label control against retention and against bits/dim, on validation images. Shaded: the aim.",
    )
    return [text, tables.trade_off_table(records), picture]


def _pictures(dataset, runs, results_dir):
    """The dataset's pictures, then links to those of the headline models; whatever exists."""
    folder = f"cvae/{dataset}"
    parts = [
        report.picture(results_dir, f"{folder}/{name}.png", f"{alt} ({dataset})", caption)
        for name, (alt, caption) in PICTURES.items()
    ]
    links = []
    for run in runs.values():
        for record in (r for seeds in tables.headline(tables.by_model(run)).values() for r in seeds):
            path = f"{record['folder']}/wrong_labels.png"
            if (Path(results_dir) / path).is_file():
                links.append(f"[{record['variant']}, seed {record['seed']}, run {record['run']}]({quote(path)})")
    return [*parts, f"Wrong labels, model by model: {'; '.join(links)}." if links else ""]


def _commands(records):
    """The commands of records, each with those of its models that are among them."""
    models = {}
    for record in records:
        models.setdefault(record["command"], {})[record["variant"]] = None
    return [_MODELS.sub(f" --model {' '.join(names)}", command) for command, names in models.items()]


def _data(record):
    data = record["data"]
    train = data["train"] + data["validation"]
    text = (
        f"{train:,} train / {data['test']:,} test images of `{record['dataset']}`; {data['validation']:,} of the "
        f"{train:,} are held out to choose the epoch"
    )
    if field(record, "config.likelihood") == "bernoulli":
        seed = data.get("binarisation_seed")
        text += "; pixels are drawn black or white, anew each time in training"
        text += "" if seed is None else f" and once, with seed {seed}, in validation and test"
    return text


def _relabelling(record):
    relabel = field(record, "test.relabel")
    if None in (relabel.get("images"), relabel.get("wrong_labels"), relabel.get("gallery")):
        return None
    count = relabel["wrong_labels"]
    labels = f"all {count}" if count == len(record["class_names"]) - 1 else f"{count} of the"
    return (
        f"{relabel['images']:,} test images, each under {labels} wrong labels; retention among "
        f"{relabel['gallery']:,} images, {1 / relabel['gallery']:.1%} by chance"
    )


def _importance(record):
    bound = field(record, "test.importance_weighted_nll")
    return bound and f"{bound['samples']} latents an image, {bound['images']:,} test images"


def _training(record):
    config = record.get("config") or {}
    known = {
        "network": "network `{}`",
        "label_dim": "label embedding of {}",
        "batch_size": "batches of {}",
        "epochs": "{} epochs",
        "learning_rate": "one-cycle learning rate up to {:g}",
        "kl_warmup": "KL weight rising over the first {:.0%} of the steps",
        "free_bits": "{:g} free bits a latent unit",
        "label_noise": "{:.0%} of the labels told to the encoder wrong",
        "flip": "images mirrored at random",
    }
    parts = [text.format(config[key]) for key, text in known.items() if config.get(key)]
    seen = record.get("images_seen")
    return ", ".join(parts + [f"{seen:,} images seen"] * bool(seen)) or None


SECTIONS = (
    report.Section("judge", 2, judge_section),
    report.Section("cvae", 3, cvae_section, short_table),
)
