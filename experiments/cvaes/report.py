"""What the summary says of conditional VAEs, judges and feature networks: their parts of `results/summary.md`."""

import re
from pathlib import Path
from urllib.parse import quote

from experiments.cvaes import tables
from experiments.cvaes.cells import by_model, dataset_rank, headline
from experiments.cvaes.plots import draw_pictures
from experiments.cvaes.texts import BLURRED, FEATURES, INTRODUCTION, JUDGE, PICTURES
from experiments.cvaes.tradeoff import tradeoff_part
from experiments.harness.reporting import report
from experiments.harness.reporting.report import field, run_folders

__all__ = ["cvae_section", "draw_pictures", "features_section", "judge_section", "short_table"]

REQUIRED = (
    *("dataset", "run", "variant", "seed", "command", "class_names", "judge.accuracy"),
    *("data.train", "data.validation", "data.test", "test.reconstruction_error", "test.sample_accuracy.accuracy"),
    *("test.relabel.readings.a.accuracy", "test.relabel.readings.b.accuracy", "test.relabel.readings.a.retention"),
)
_MODELS = re.compile(r" --model(?: (?!-)\S+)+")
CLASSIFIER_REQUIRED = ("dataset", "run", "variant", "command", "accuracy")


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
    for dataset in sorted(datasets, key=dataset_rank):
        runs = datasets[dataset]
        parts.append(f"### {dataset}")
        for folder, run in runs.items():
            parts += [f"#### Run `{run[0]['run']}`", *_run(run, folder, results_dir)]
        parts += _pictures(dataset, runs, results_dir)
    return "\n\n".join(part.strip() for part in parts if part)


def judge_section(records, results_dir):
    """The judges' section: one table; arguments, result and error as for `cvae_section`."""
    return _classifiers(records, JUDGE, "judge")


def features_section(records, results_dir):
    """The part on feature networks, which goes on with the judges' section; as `judge_section`."""
    return _classifiers(records, FEATURES, "feature network")


def _classifiers(records, introduction, kind):
    report.require(records, CLASSIFIER_REQUIRED)
    made = dict.fromkeys(f"- {report.hardware(record)}; {report.software(record)}." for record in records)
    blurred = [
        f"- {r['dataset']}, `{r['run']}`: {BLURRED.format(r['config']['blur'])}."
        for r in records
        if field(r, "config.blur")
    ]
    facts = "\n".join([*dict.fromkeys(blurred), *made])
    commands = report.code_block(_MODELS.sub("", record["command"]) for record in records)
    table = tables.classifier_table(records, kind)
    made_by = "Commands; without `--classifiers-only` they train models too:"
    return "\n\n".join([introduction.strip(), table, facts, made_by, commands])


def short_table(records):
    """The headline models of a run and a sentence on their data, for the README; arguments as for `cvae_section`."""
    models = headline(by_model(records))
    shown = [record for seeds in models.values() for record in seeds]
    what = f"{_data(shown[0])}. Shares are in percent; {report.hardware(shown[0])}."
    notes = " ".join(filter(None, [what, report.spread_note([len(seeds) for seeds in models.values()])]))
    commands = "Made by " + ", ".join(f"`{command}`" for command in _commands(shown)) + "."
    return "\n\n".join([tables.short_table(models), notes, commands])


def _run(records, folder, results_dir):
    models = by_model(records)
    facts = {
        "Data": _data,
        "Label control": _relabelling,
        "Judges": _judges,
        "Feature network": _feature_network,
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
        "**What the judges read**, in percent, and how far from real images the outputs are:",
        tables.judges_table(models),
        report.facts(records, facts),
        "Commands:\n\n" + report.code_block(_commands(records)),
        *tradeoff_part(records, folder, results_dir),
        *_classes(models),
    ]


def _classes(models):
    table = tables.class_table(headline(models))
    return ["**Class by class**: share in percent that is read as the class asked for.", table] if table else []


def _pictures(dataset, runs, results_dir):
    """The dataset's pictures, then links to those of the headline models; whatever exists."""
    folder = f"cvae/{dataset}"
    parts = [
        report.picture(results_dir, f"{folder}/{name}.png", f"{alt} ({dataset})", caption)
        for name, (alt, caption) in PICTURES.items()
    ]
    links = []
    for run in runs.values():
        for record in (r for seeds in headline(by_model(run)).values() for r in seeds):
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


def _judges(record):
    judges = field(record, "judge.judges") or {}
    read = [f"`{name}` reads {facts['accuracy']:.1%} of real images" for name, facts in judges.items()]
    return ", ".join(read) or None


def _feature_network(record):
    facts = record.get("features")
    return facts and f"`{facts['network']}`, seed {facts['seed']}, reads {facts['accuracy']:.1%} of real images"


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
        "wrong_label_share": "{:.0%} of the images sent in with a wrong label",
        "classifier_weight": "classifier's weight {:g}",
        "layout_weight": "layout's weight {:g}",
        "adversary_weight": "adversary's weight {:g}",
        "average": "weights averaged with a momentum of {:g}",
        "flip": "images mirrored at random",
    }
    parts = [text.format(config[key]) for key, text in known.items() if config.get(key)]
    seen = record.get("images_seen")
    return ", ".join(parts + [f"{seen:,} images seen"] * bool(seen)) or None


SECTIONS = (
    report.Section("judge", 2, judge_section),
    report.Section("features", 2, features_section),
    report.Section("cvae", 3, cvae_section, short_table),
)
