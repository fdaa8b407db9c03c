"""Tables of conditional VAEs, from their records: Markdown, a row a model, means over its seeds."""

from experiments.harness.reporting import report
from experiments.harness.reporting.report import MISSING, field, over_seeds

FIRST = ("standard", "control", "density")
"""Models in the order of the tables, before all others; where a run has some of them, they are its headline models."""

DATASETS = ("mnist", "cifar10")
"""Datasets in the order of the page, before all others."""

CHOSEN = "control"
"""The model that was chosen from a trade-off between label control and what it costs."""

AIM = (0.35, 0.5)
"""Relabel accuracy and retention, both in reading (a), that the trade-off on CIFAR-10 aims at."""

READINGS = {"a": "(a)", "b": "(b)", "prior_shift": "(shift)"}


def dataset_rank(dataset):
    """Sort key of a dataset's name."""
    return DATASETS.index(dataset) if dataset in DATASETS else len(DATASETS), dataset


def by_model(records):
    """Groups the records of a run into `{model: [the record of a seed, ...]}`, in the order of the tables."""

    def rank(record):
        name = record["variant"]
        return FIRST.index(name) if name in FIRST else len(FIRST), name, record["seed"]

    models = {}
    for record in sorted(records, key=rank):
        models.setdefault(record["variant"], []).append(record)
    return models


def headline(models):
    """Those of `by_model`'s models that summaries and pictures are about: the named ones, or else all."""
    named = {name: seeds for name, seeds in models.items() if name in FIRST}
    return named or models


def model_table(models):
    """What the models are and how well they explain, rebuild and draw images."""
    columns = {
        "seeds": lambda seeds: len(seeds) if any(len(other) > 1 for other in models.values()) else None,
        "likelihood": _likelihood,
        "latent": _latent,
        "prior": _config("prior"),
        "KL weight": _config("kl_weight"),
        "label noise": _config("label_noise"),
        "parameters": lambda seeds: report.mean_and_spread([field(seeds[0], "parameters")], 0),
        "−ELBO, nats": lambda seeds: _nats(seeds, "test.negative_elbo"),
        f"−ELBO + ln {_classes(models)}": lambda seeds: _nats(seeds, "test.unconditional_nll"),
        "IW-NLL": lambda seeds: _nats(seeds, "test.importance_weighted_nll.nll"),
        "bits/dim": lambda seeds: over_seeds(seeds, "test.bits_per_dim"),
        "KL, nats": lambda seeds: over_seeds(seeds, "test.kl", 1),
        "active units": _active_units,
        "error a pixel": lambda seeds: over_seeds(seeds, "test.reconstruction_error", 4),
        "samples, %": lambda seeds: _percent(seeds, "test.sample_accuracy.accuracy"),
        "images/s": lambda seeds: over_seeds(seeds, "images_per_second", 0),
        "training, min": lambda seeds: over_seeds(seeds, "seconds.training", 1, 1 / 60),
    }
    return _table(models, columns, left=4 + any(len(seeds) > 1 for seeds in models.values()))


def control_table(models):
    """Whether the label decides what comes out, and what else the judge says."""
    columns = {f"read as asked {title}": _reading(key, "accuracy") for key, title in READINGS.items()}
    ignored = f"label ignored, (1 − r) / {_classes(models) - 1}"
    columns[ignored] = lambda seeds: _percent(seeds, "test.relabel.ignored_label_accuracy")
    columns |= {f"retention {title}": _reading(key, "retention") for key, title in READINGS.items()}
    columns |= {f"still true {title}": _reading(key, "still_true") for key, title in READINGS.items()}
    columns |= {
        "judge on reconstructions, r": lambda seeds: _percent(seeds, "test.relabel.reconstruction_accuracy"),
        "judge on the inputs": lambda seeds: _percent(seeds, "test.relabel.judge_accuracy"),
        "judge on real images": lambda seeds: _percent(seeds, "judge.accuracy"),
    }
    return _table(models, columns)


def class_table(models):
    """The judge's reading class by class: share read as the class asked for."""
    names = next(iter(models.values()))[0]["class_names"]
    rows = []
    for model, seeds in models.items():
        sources = {"samples": "test.sample_accuracy.per_class"}
        sources |= {title: f"test.relabel.readings.{key}.per_class" for key, title in READINGS.items()}
        for title, path in sources.items():
            shares = [field(record, path) for record in seeds]
            if all(shares):
                cells = [_mean_percent([share[n] for share in shares]) for n in range(len(names))]
                rows.append([f"`{model}`", title, *cells])
    return report.table(["model", "asked for", *names], rows, left=2) if rows else ""


def trade_off(records):
    """How far each model of a run obeys a wrong label and what that costs, on validation images, means over seeds.

    Returns:
        What `cvaes.plots.draw_tradeoff` draws, by `relabel_a`, the highest first; empty for fewer than two models
        with these scores. `bits_per_dim` follows from the validation ELBO.
    """
    points = []
    for name, seeds in by_model(records).items():
        a, b = ("validation.relabel.readings.a", "validation.relabel.readings.b")
        point = {
            "relabel_a": _mean(field(record, f"{a}.accuracy") for record in seeds),
            "relabel_b": _mean(field(record, f"{b}.accuracy") for record in seeds),
            "retention": _mean(field(record, f"{a}.retention") for record in seeds),
            "retention_b": _mean(field(record, f"{b}.retention") for record in seeds),
        }
        if None not in point.values():
            bits = _mean(_validation_bits(record) for record in seeds)
            points.append({"name": name, **point, "bits_per_dim": bits, "chosen": name == CHOSEN})
    return sorted(points, key=lambda point: -point["relabel_a"]) if len(points) > 1 else []


def share_of_aim(point, reading="a"):
    """How much of `AIM` a point of `trade_off` reaches in a reading, `"a"` or `"b"`: the smaller of its two shares."""
    keys = {"a": ("relabel_a", "retention"), "b": ("relabel_b", "retention_b")}[reading]
    return min(point[key] / aim for key, aim in zip(keys, AIM, strict=True))


def trade_off_table(records):
    """The points of `trade_off` with what sets the models apart, and the same scores of the test split."""
    models = by_model(records)
    ordered = {point["name"]: models[point["name"]] for point in trade_off(records)}
    columns = {"latent": _latent, "prior": _config("prior"), "KL weight": _config("kl_weight")}
    extra = {"conditioning": "label by", "label_noise": "label noise", "network": "network", "label_dim": "label dim"}
    extra |= {"free_bits": "free bits", "likelihood": "likelihood", "batch_size": "batch"}
    for key, title in extra.items():
        if len({str(field(seeds[0], f"config.{key}")) for seeds in ordered.values()}) > 1:
            columns[title] = _config(key)
    if len({seeds[0].get("images_seen") for seeds in ordered.values()}) > 1:
        columns["images seen"] = lambda seeds: report.mean_and_spread([field(seeds[0], "images_seen")], 0)
    columns["validation bits/dim"] = lambda seeds: report.mean_and_spread([_validation_bits(r) for r in seeds], 3)
    columns["test bits/dim"] = lambda seeds: over_seeds(seeds, "test.bits_per_dim")
    for split in ("validation", "test"):
        columns[f"{split} (a)"] = _reading("a", "accuracy", split)
        columns[f"{split} (b)"] = _reading("b", "accuracy", split)
        columns[f"{split} retention"] = _reading("a", "retention", split)
        columns[f"{split} ignored"] = lambda seeds, split=split: _percent(
            seeds, f"{split}.relabel.ignored_label_accuracy"
        )
    return _table(ordered, columns, left=3, chosen=CHOSEN)


def short_table(models):
    """A table of what matters most, for the README."""
    columns = {
        "latent": _latent,
        "−ELBO, nats": lambda seeds: _nats(seeds, "test.negative_elbo"),
        "bits/dim": lambda seeds: over_seeds(seeds, "test.bits_per_dim"),
        "samples read as asked": lambda seeds: _percent(seeds, "test.sample_accuracy.accuracy"),
        "wrong label obeyed (a)": _reading("a", "accuracy"),
        "wrong label obeyed (b)": _reading("b", "accuracy"),
        "label ignored": lambda seeds: _percent(seeds, "test.relabel.ignored_label_accuracy"),
        "retention (a)": _reading("a", "retention"),
        "judge on real images": lambda seeds: _percent(seeds, "judge.accuracy"),
    }
    return _table(models, columns, left=2)


def judge_table(records):
    """The judges' accuracy on real images."""
    rows = []
    for record in sorted(
        records, key=lambda r: (dataset_rank(r["dataset"]), -(r.get("images_seen") or 0), r["folder"])
    ):
        sizes = [field(record, f"data.{split}") for split in ("train", "validation", "test")]
        shares = [_mean_percent([record.get(f"{split}accuracy")], 2) for split in ("validation_", "test_", "")]
        numbers = [*sizes, record.get("parameters"), field(record, "seconds.training")]
        *counts, seconds = (report.mean_and_spread([number], 0) for number in numbers)
        rows.append([record["dataset"], f"`{record['run']}`", f"`{record['variant']}`", *counts, *shares, seconds])
    sizes = ["train images", "validation", "test", "parameters"]
    accuracies = ["on validation, %", "on test, %", "on both together, %"]
    return report.table(["data", "run", "judge", *sizes, *accuracies, "training, s"], rows, left=3)


def _table(models, columns, left=1, chosen=None):
    """A table with a row a model; columns in which no row has anything are left out."""
    cells = {title: [function(seeds) for seeds in models.values()] for title, function in columns.items()}
    cells = {title: column for title, column in cells.items() if any(cell not in (None, MISSING) for cell in column)}
    names = [f"**`{name}`** ★" if name == chosen else f"`{name}`" for name in models]
    return report.table(["model", *cells], list(zip(names, *cells.values(), strict=True)), left)


def _classes(models):
    return len(next(iter(models.values()))[0]["class_names"])


def _config(key):
    def cell(seeds):
        value = field(seeds[0], f"config.{key}")
        return f"{value:g}" if isinstance(value, float) else value

    return cell


def _likelihood(seeds):
    name = field(seeds[0], "config.likelihood")
    return f"{name} (not comparable)" if field(seeds[0], "test.comparable") is False else name


def _latent(seeds):
    shape = field(seeds[0], "config.latent_shape")
    return None if shape is None else " x ".join(map(str, shape))


def _active_units(seeds):
    units = field(seeds[0], "test.latent_units")
    active = over_seeds(seeds, "test.active_units", int(len(seeds) > 1))
    return None if units is None else f"{active} of {units:,}"


def _nats(seeds, path):
    value = field(seeds[0], path)
    return over_seeds(seeds, path, 2 if value is None or abs(value) < 1000 else 1)


def _percent(seeds, path):
    return over_seeds(seeds, path, 1, 100)


def _reading(key, score, split="test"):
    return lambda seeds: _percent(seeds, f"{split}.relabel.readings.{key}.{score}")


def _mean_percent(shares, digits=1):
    mean = _mean(shares)
    return MISSING if mean is None else f"{100 * mean:.{digits}f}"


def _mean(values):
    values = list(values)
    return None if None in values else sum(values) / len(values)


def _validation_bits(record):
    """Bits/dim on validation images: as many to a nat as on test images."""
    paths = ("validation.negative_elbo", "test.bits_per_dim", "test.negative_elbo")
    elbo, bits, nats = (field(record, path) for path in paths)
    return None if None in (elbo, bits) or not nats else elbo * bits / nats
