"""Tables of conditional VAEs, from their records: Markdown, a row a model, means over its seeds.

Here as in the whole report, `models` is `{model: [the record of a seed, ...]}`.
"""

from experiments.harness.reporting import report, sections
from experiments.harness.reporting.report import MISSING, field, over_seeds
from experiments.harness.reporting.sections import of_first

FIRST = ("standard", "control", "features", "density", "plain")
"""Models in the order of the tables, before all others; where a run has some of them, they are its headline models."""

DATASETS = ("mnist", "cifar10")
"""Datasets in the order of the page, before all others."""

READINGS = {"a": "(a)", "b": "(b)", "prior_shift": "(shift)"}


def by_model(records):
    """Groups the records of a run by model, in the order of the tables."""
    return sections.by_variant(records, lambda record: sections.rank(record["variant"], FIRST))


def headline(models):
    """Those of the models that summaries and pictures are about: the named ones, or else all."""
    named = {name: seeds for name, seeds in models.items() if name in FIRST}
    return named or models


# Columns


def percent(path):
    """The column of a share."""
    return path, 1, 100


def reading(key, score, split="test"):
    """The column of a score of a reading, a key of `READINGS`."""
    return percent(f"{split}.relabel.readings.{key}.{score}")


def nats(path):
    """The column of a number of nats, with fewer decimals where it is large."""

    def cell(seeds):
        value = field(seeds[0], path)
        return over_seeds(seeds, path, 2 if value is None or abs(value) < 1000 else 1)

    return cell


def likelihood(seeds):
    name = field(seeds[0], "config.likelihood")
    if name == "features":
        return f"{name} (an energy)"
    return f"{name} (not comparable)" if field(seeds[0], "test.comparable") is False else name


def latent(seeds):
    shape = field(seeds[0], "config.latent_shape")
    return shape and " x ".join(map(str, shape))


def _active_units(seeds):
    units = field(seeds[0], "test.latent_units")
    return units and f"{over_seeds(seeds, 'test.active_units', int(len(seeds) > 1))} of {units:,}"


def _judges(models):
    """The names of the judges of a run; none where its records name none."""
    named = (field(record, "judge.judges") or {} for seeds in models.values() for record in seeds)
    return list(dict.fromkeys(name for names in named for name in names))


def _by_judge(title, models, path, inner=""):
    """A column for each judge."""
    return {f"{title} `{name}`": percent(f"{path}.{name}{inner}") for name in _judges(models)}


STYLE = {
    "slant kept, r": ("test.relabel.style.slant", 2),
    "stroke thickness kept, r": ("test.relabel.style.stroke_thickness", 2),
}
"""Columns of what digits keep of their style under a wrong label."""


# Tables


def model_table(models):
    """What the models are and how well they explain, rebuild and draw images."""
    several, classes = any(len(seeds) > 1 for seeds in models.values()), _classes(models)
    columns = {
        "seeds": lambda seeds: len(seeds) if several else None,
        "likelihood": likelihood,
        "latent": latent,
        "prior": of_first("config.prior"),
        "KL weight": of_first("config.kl_weight"),
        "wrong labels": of_first("config.wrong_label_share"),
        "label noise": of_first("config.label_noise"),  # of records from before wrong labels were told to both
        "adversary": of_first("config.adversary_weight"),
        "parameters": of_first("parameters"),
        "−ELBO, nats": nats("test.negative_elbo"),
        f"−ELBO + ln {classes}": nats("test.unconditional_nll"),
        "IW-NLL": nats("test.importance_weighted_nll.nll"),
        "bits/dim": "test.bits_per_dim",
        "KL, nats": ("test.kl", 1),
        "active units": _active_units,
        "error a pixel": ("test.reconstruction_error", 4),
        "samples, %": percent("test.sample_accuracy.accuracy"),
        "images/s": ("images_per_second", 0),
        "training, min": ("seconds.training", 1, 1 / 60),
    }
    return sections.table(sections.rows(models, columns), ("seeds", "likelihood", "latent", "prior"))


def control_table(models):
    """Whether the label decides what comes out, and what else the judges say; of several judges the lowest counts."""
    columns = {}
    for key, title in READINGS.items():
        columns[f"read as asked {title}"] = reading(key, "accuracy")
        columns |= _by_judge(f"{title} by", models, f"test.relabel.readings.{key}.judges")
        if len(_judges(models)) > 1:
            columns[f"{title} by all at once"] = reading(key, "agreed")
    columns[f"label ignored, (1 − r) / {_classes(models) - 1}"] = percent("test.relabel.ignored_label_accuracy")
    columns |= {f"retention {title}": reading(key, "retention") for key, title in READINGS.items()}
    columns |= {f"still true {title}": reading(key, "still_true") for key, title in READINGS.items()}
    return sections.table(sections.rows(models, columns | STYLE))


def judges_table(models):
    """What the judges' figures are to be read against: samples, reconstructions and real images."""
    columns = {
        "samples": percent("test.sample_accuracy.accuracy"),
        **_by_judge("samples by", models, "test.sample_accuracy.judges"),
        "reconstructions, r": percent("test.relabel.reconstruction_accuracy"),
        "inputs": percent("test.relabel.judge_accuracy"),
        "real images": percent("judge.accuracy"),
        **_by_judge("real images by", models, "judge.judges", ".accuracy"),
        "Fréchet distance, (a)": ("test.relabel.realism.frechet_distance", 1),
        "of real images": ("test.relabel.realism.frechet_distance_of_real_images", 1),
    }
    return sections.table(sections.rows(models, columns))


def class_table(models):
    """The judge's reading class by class: share read as the class asked for."""
    names = next(iter(models.values()))[0]["class_names"]
    sources = {"samples": "test.sample_accuracy.per_class"}
    sources |= {title: f"test.relabel.readings.{key}.per_class" for key, title in READINGS.items()}
    rows = []
    for model, seeds in models.items():
        for title, path in sources.items():
            shares = [field(record, path) for record in seeds]
            if all(shares):
                accuracies = [_mean_percent(of_class) for of_class in zip(*shares, strict=True)]
                rows.append([f"`{model}`", title, *accuracies])
    return report.table(["model", "asked for", *names], rows, left=2) if rows else ""


def short_table(models):
    """A table of what matters most, for the README."""
    columns = {
        "latent": latent,
        "images seen": of_first("images_seen"),
        "−ELBO, nats": nats("test.negative_elbo"),
        "bits/dim": "test.bits_per_dim",
        "samples read as asked": percent("test.sample_accuracy.accuracy"),
        "wrong label obeyed (a)": reading("a", "accuracy"),
        "wrong label obeyed (b)": reading("b", "accuracy"),
        "label ignored": percent("test.relabel.ignored_label_accuracy"),
        "retention (a)": reading("a", "retention"),
        "judge on real images": percent("judge.accuracy"),
    }
    return sections.table(sections.rows(models, columns | STYLE), ("latent",))


def classifier_table(records, kind):
    """The accuracy on real images of classifiers of a kind, such as `"judge"`."""

    def order(record):
        return sections.rank(record["dataset"], DATASETS), -(record.get("images_seen") or 0), record["folder"]

    accuracies = {"validation_": "on validation, %", "test_": "on test, %", "": "on both together, %"}
    rows = [
        {
            "data": record["dataset"],
            "run": f"`{record['run']}`",
            kind: f"`{record['variant']}`",
            "train images": of_first("data.train")([record]),
            **{split: of_first(f"data.{split}")([record]) for split in ("validation", "test")},
            "parameters": of_first("parameters")([record]),
            **{title: _mean_percent([record.get(f"{split}accuracy")], 2) for split, title in accuracies.items()},
            "training, s": over_seeds([record], "seconds.training", 0),
        }
        for record in sorted(records, key=order)
    ]
    return sections.table(rows, ("run", kind))


def _classes(models):
    """The number of classes."""
    return len(next(iter(models.values()))[0]["class_names"])


def _mean_percent(shares, digits=1):
    return MISSING if None in shares else f"{100 * sum(shares) / len(shares):.{digits}f}"
