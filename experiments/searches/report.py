"""What the summary says of searches for hyperparameters: their section of `results/summary.md`."""

import csv
import io
import json
import statistics
from pathlib import PurePosixPath

from experiments.harness.reporting import report
from experiments.harness.reporting.report import field
from experiments.harness.running.clock import duration
from experiments.searches.figures import HYPERPARAMETERS, TRIALS
from experiments.searches.folder import BEST, TABLE

INTRODUCTION = """## Hyperparameter searches

Searches by Keras Tuner. A trial's score is the best of its epochs on the validation images, a part of the train split;
no search looks at the test split. Every trial is a whole training of its own with the one-cycle schedule stretched over
its epochs. Under Hyperband the best of many short trials are trained again for longer, from the start."""

REQUIRED = ("dataset", "run", "command", "trials", "config.objective", "config.space", "use", "budget.trials")

SHOWN = 10  # trials of the ranked table

COMPARE = ("data.fingerprint.test", "config.target", "config.image_size", "test.comparable")
"""Models that differ in one of these have test scores that don't compare; nor do they where one alone has bits/dim."""


def tuning_section(records, results_dir):
    """The section on searches, one part a search; arguments, result and error as of `sections.section`."""
    report.require(records, REQUIRED)
    parts = [INTRODUCTION]
    for record in records:
        parts += [f"### `{record['run']}`", *_search(record, results_dir)]
    return "\n\n".join(part.strip() for part in parts if part)


def trials_csv(record):
    """All trials of a record as CSV text: the best first, the failed ones last and without a rank."""
    text = io.StringIO()
    first, names = ["trial", "status", "score", "epochs", "best_epoch"], list(record["config"]["space"])
    last = ["parameters", "seconds", "failure"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", *first, *names, *last])
    for rank, trial in enumerate(record["trials"], 1):
        values = [trial["hyperparameters"][name] for name in names]
        values = ["none" if value is None else value for value in values]
        rank = rank if trial["status"] == "completed" else None
        writer.writerow([rank, *[trial[key] for key in first], *values, *[trial[key] for key in last]])
    return text.getvalue()


def _search(record, results_dir):
    pictures = {
        TRIALS: (
            f"Score of each trial, in the order in which they began, and the best so far ({record['run']})",
            "One dot a trial, in the order in which they began.",
        ),
        HYPERPARAMETERS: (
            f"Score against each hyperparameter, one panel each ({record['run']})",
            "The same dots against each hyperparameter.",
        ),
    }
    return [
        _facts(record),
        report.code_block([report.command(record)]),
        *_ranked(record),
        _best(record),
        _gain(record, results_dir),
        *[report.picture(results_dir, f"{record['folder']}/{file}", *texts) for file, texts in pictures.items()],
    ]


def _title(record, split="validation"):
    return record["config"]["objective"]["title"].replace("val ", f"{split} ")


def _facts(record):
    config, trials, data = record["config"], record["trials"], record["data"]
    failed = sum(trial["status"] != "completed" for trial in trials)
    seconds = sum(trial["seconds"] for trial in trials if trial["status"] == "completed")
    epochs = sum(trial["epochs"] for trial in trials if trial["status"] == "completed")
    workers = {trial["worker"] for trial in trials}
    by = f" by {len(workers)} workers" if len(workers) > 1 else ""
    better = "highest" if config["objective"]["direction"] == "max" else "lowest"
    images = f"{data['train']:,} training and {data['validation']:,} validation images of `{record['dataset']}`"
    return "\n".join(
        [
            f"- Data: {images}.",
            f"- Search: {config['tuner']}, seed {config['seed']}, preset `{config['preset']}`, trials of up to "
            f"{config['max_epochs']} epochs, for the {better} {_title(record)}.",
            f"- Trials: {len(trials)} of {record['budget']['trials']} ended{by}, {failed} of them failed; {epochs:,} "
            f"epochs, {duration(seconds)} of training.",
            f"- Hardware: {report.hardware(record)}. Software: {report.software(record)}, Keras Tuner "
            f"{field(record, 'versions.keras-tuner')}.",
        ]
    )


def _ranked(record):
    """The best trials in a table, and a list of those that failed."""
    names = list(record["config"]["space"])
    good = [trial for trial in record["trials"] if trial["status"] == "completed"]
    failed = [trial for trial in record["trials"] if trial["status"] != "completed"]
    digits = 4 if good and abs(good[0]["score"]) < 10 else 2
    header = ["rank", "trial", _title(record), "epochs", "best epoch", *names, "parameters", "training, s"]
    rows = [
        [rank, trial["trial"], f"{trial['score']:.{digits}f}", trial["epochs"], trial["best_epoch"]]
        + [_cell(trial["hyperparameters"][name]) for name in names]
        + [f"{trial['parameters']:,}", f"{trial['seconds']:.0f}"]
        for rank, trial in enumerate(good[:SHOWN], 1)
    ]
    more = f"{len(good) - SHOWN} more are in [{TABLE}]({record['folder']}/{TABLE})." if len(good) > SHOWN else ""
    lost = [f"- Trial {trial['trial']} failed: {trial['failure']}" for trial in failed]
    return [report.table(header, rows, left=0) if rows else "", more, "\n".join(lost)]


def _cell(value):
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else value


def _best(record):
    if not record.get("best"):
        return "No trial ended well."
    command = f"{record['use']} --hparams results/{record['folder']}/{BEST}"
    found = f"```json\n{json.dumps(record['best'])}\n```"
    return f"The best, and the command that trains with it:\n\n{found}\n\n{report.code_block([command])}"


def _gain(record, results_dir):
    """All models whose test scores compare with that of a model trained with what the search found."""
    what, file = record["config"], f"{record['folder']}/{BEST}"
    metric = "test." + what["objective"]["name"].removeprefix("val_")
    models = {}
    for model in report.read_records(results_dir):
        same = (model["experiment"], field(model, "dataset")) == (what["experiment"], record["dataset"])
        if same and field(model, metric) is not None:
            models.setdefault(PurePosixPath(model["folder"]).parent, []).append(model)

    def measure(seeds):
        has_bits = field(seeds[0], "test.bits_per_dim") is not None
        return [*(field(seeds[0], path) for path in COMPARE), has_bits]

    def score(seeds):
        return statistics.fmean(field(seed, metric) for seed in seeds)

    def whose(seeds):
        if not any(file in str(field(seed, "command")) for seed in seeds):
            return "others"
        return "this search's" + ", in part" * (not _is_trained_with(seeds[0], record["best"]))

    tuned = [measure(seeds) for seeds in models.values() if whose(seeds) != "others"]
    compared = [(folder, seeds) for folder, seeds in models.items() if measure(seeds) in tuned]
    if not compared:
        return ""
    compared.sort(key=lambda pair: score(pair[1]), reverse=what["objective"]["direction"] == "max")
    rows = [
        [f"`{folder.name}`", f"`{folder.parent.name}`", whose(seeds), len(seeds)]
        + [report.over_seeds(seeds[:1], path, 0) for path in ("parameters", "images_seen")]
        + [report.over_seeds(seeds, metric, 3 if abs(score(seeds)) < 10 else 2)]
        for folder, seeds in compared
    ]
    counts = [len(seeds) for _, seeds in compared]
    title = (
        f"What it gains: trained models of `{record['dataset']}`, the best on test images first. A gain of the search "
        "is what remains between models that have seen as many images, of the same size."
    )
    header = ["model", "run", "hyperparameters", "seeds", "parameters", "training images seen", _title(record, "test")]
    return f"{title} {report.spread_note(counts)}".strip() + "\n\n" + report.table(header, rows, left=3)


def _is_trained_with(model, best):
    """Whether a model's recipe has all that a search found; options, and variants of their own, come first."""
    config = field(model, "config") or {}
    config = config | {"latent_dim": (config.get("latent_shape") or [None])[-1]}
    return all(name in config and config[name] == value for name, value in (best or {}).items())


SECTIONS = (report.Section("tuning", 8, tuning_section),)
