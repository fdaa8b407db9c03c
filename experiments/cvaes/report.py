"""What the summary says of conditional VAEs, judges and feature networks: their parts of `results/summary.md`."""

import re

from experiments.cvaes import tables
from experiments.cvaes.tables import DATASETS, by_model, headline
from experiments.cvaes.texts import BLURRED, FEATURES, INTRODUCTION, JUDGE, PICTURES
from experiments.cvaes.tradeoff import tradeoff_part
from experiments.harness.reporting import report, sections
from experiments.harness.reporting.report import field

REQUIRED = (
    *("dataset", "run", "variant", "seed", "command", "class_names", "judge.accuracy"),
    *("data.train", "data.validation", "data.test", "test.reconstruction_error", "test.sample_accuracy.accuracy"),
    *("test.relabel.readings.a.accuracy", "test.relabel.readings.b.accuracy", "test.relabel.readings.a.retention"),
)
_MODELS = re.compile(r" --model(?: (?!-)\S+)+")
CLASSIFIER_REQUIRED = ("dataset", "run", "variant", "command", "accuracy")


def cvae_section(records, results_dir):
    """The conditional VAEs' section: after the runs of a dataset its pictures; otherwise as `sections.section`."""
    return sections.section(records, results_dir, INTRODUCTION, REQUIRED, _run, DATASETS, _pictures)


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
    commands = report.code_block(_MODELS.sub("", report.command(record)) for record in records)
    table = tables.classifier_table(records, kind)
    made_by = "Commands; without `--classifiers-only` they train models too:"
    return "\n\n".join([introduction.strip(), table, facts, made_by, commands])


def short_table(records):
    """What the README shows of a run: its headline models."""
    models = headline(by_model(records))
    shown = [record for seeds in models.values() for record in seeds]
    what = f"{_data(shown[0])}. Shares are in percent; {sections.machines(shown)}."
    return sections.short(tables.short_table(models), shown, what, _commands(shown))


def _run(records, folder, results_dir):
    models = by_model(records)
    facts = {
        "Data": _data,
        "Label control": _relabelling,
        "Judges": _judges,
        "Feature network": _feature_network,
        "IW-NLL": _importance,
        "Training": _training,
    }
    return [
        tables.model_table(models),
        report.spread_note([len(seeds) for seeds in models.values()]),
        "**Label control**, in percent, under a wrong label:",
        tables.control_table(models),
        "**What the judges read**, in percent, and how far from real images the outputs are:",
        tables.judges_table(models),
        sections.facts(records, facts),
        sections.commands(_commands(records)),
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
    found = [
        (f"{r['variant']}, seed {r['seed']}, run {r['run']}", f"{r['folder']}/wrong_labels.png")
        for run in runs.values()
        for seeds in headline(by_model(run)).values()
        for r in seeds
    ]
    return [*parts, sections.links(results_dir, "Wrong labels, model by model:", found)]


def _commands(records):
    """The commands of records, each with those of its models that are among them."""
    models = {}
    for record in records:
        models.setdefault(report.command(record), {})[record["variant"]] = None
    return [_MODELS.sub(f" --model {' '.join(names)}", command) for command, names in models.items()]


def _data(record):
    text = sections.images(record)
    if field(record, "config.likelihood") == "bernoulli":
        seed = field(record, "data.binarisation_seed")
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
    texts = {
        "network": "network `{}`",
        "posterior": "full covariance of the posterior" if field(record, "config.posterior") == "full" else "",
        "label_dim": "label embedding of {}",
        "batch_size": "batches of {}",
        "epochs": "{} epochs",
        "learning_rate": "one-cycle learning rate up to {:g}",
        "kl_warmup": "KL weight rising over the first {:.0%} of the steps",
        "free_bits": "{:g} free bits a latent unit",
        "label_noise": "{:.0%} of the labels told to the encoder wrong",
        "wrong_label_share": "{:.0%} of the images sent in with a wrong label",
        "reconstruct_all": "reconstructed under their right one",
        "classifier_weight": "classifier's weight {:g}",
        "view_noise": "noise of {:g} on what the feature network sees, and moves",
        "layout_weight": "layout's weight {:g}",
        "adversary_weight": "adversary's weight {:g}",
        "average": "weights averaged with a momentum of {:g}",
        "flip": "images mirrored at random",
    }
    return sections.training(record, texts)


SECTIONS = (
    report.Section("judge", 2, judge_section),
    report.Section("features", 2, features_section),
    report.Section("cvae", 3, cvae_section, short_table),
)
