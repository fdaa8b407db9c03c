"""Tables of conditional VAEs, from their records: Markdown, a row a model, means over its seeds."""

from experiments.cvaes import cells
from experiments.cvaes.cells import READINGS, dataset_rank
from experiments.harness.reporting import report
from experiments.harness.reporting.report import field, over_seeds


def model_table(models):
    """What the models are and how well they explain, rebuild and draw images."""
    columns = {
        "seeds": lambda seeds: len(seeds) if any(len(other) > 1 for other in models.values()) else None,
        "likelihood": cells.likelihood,
        "latent": cells.latent,
        "prior": cells.config("prior"),
        "KL weight": cells.config("kl_weight"),
        "wrong labels": cells.config("wrong_label_share"),
        "label noise": cells.config("label_noise"),  # of records from before wrong labels were told to both
        "adversary": cells.config("adversary_weight"),
        "parameters": lambda seeds: report.mean_and_spread([field(seeds[0], "parameters")], 0),
        "−ELBO, nats": lambda seeds: cells.nats(seeds, "test.negative_elbo"),
        f"−ELBO + ln {cells.classes(models)}": lambda seeds: cells.nats(seeds, "test.unconditional_nll"),
        "IW-NLL": lambda seeds: cells.nats(seeds, "test.importance_weighted_nll.nll"),
        "bits/dim": lambda seeds: over_seeds(seeds, "test.bits_per_dim"),
        "KL, nats": lambda seeds: over_seeds(seeds, "test.kl", 1),
        "active units": cells.active_units,
        "error a pixel": lambda seeds: over_seeds(seeds, "test.reconstruction_error", 4),
        "samples, %": lambda seeds: cells.percent(seeds, "test.sample_accuracy.accuracy"),
        "images/s": lambda seeds: over_seeds(seeds, "images_per_second", 0),
        "training, min": lambda seeds: over_seeds(seeds, "seconds.training", 1, 1 / 60),
    }
    return cells.table(models, columns, left=4 + any(len(seeds) > 1 for seeds in models.values()))


def control_table(models):
    """Whether the label decides what comes out, and what else the judges say; of several judges the lowest counts."""
    judges = cells.judges(models)
    columns = {}
    for key, title in READINGS.items():
        columns[f"read as asked {title}"] = cells.reading(key, "accuracy")
        columns |= cells.each(f"{title} by", judges, f"test.relabel.readings.{key}.judges")
        if len(judges) > 1:
            columns[f"{title} by all at once"] = cells.reading(key, "agreed")
    columns[f"label ignored, (1 − r) / {cells.classes(models) - 1}"] = lambda seeds: cells.percent(
        seeds, "test.relabel.ignored_label_accuracy"
    )
    columns |= {f"retention {title}": cells.reading(key, "retention") for key, title in READINGS.items()}
    columns |= {f"still true {title}": cells.reading(key, "still_true") for key, title in READINGS.items()}
    return cells.table(models, columns | cells.style())


def judges_table(models):
    """What the judges' figures are to be read against: samples, reconstructions and real images."""
    judges = cells.judges(models)
    columns = {"samples": lambda seeds: cells.percent(seeds, "test.sample_accuracy.accuracy")}
    columns |= cells.each("samples by", judges, "test.sample_accuracy.judges")
    columns |= {
        "reconstructions, r": lambda seeds: cells.percent(seeds, "test.relabel.reconstruction_accuracy"),
        "inputs": lambda seeds: cells.percent(seeds, "test.relabel.judge_accuracy"),
        "real images": lambda seeds: cells.percent(seeds, "judge.accuracy"),
    }
    columns |= cells.each("real images by", judges, "judge.judges", ".accuracy")
    columns |= {
        "Fréchet distance, (a)": lambda seeds: over_seeds(seeds, "test.relabel.realism.frechet_distance", 1),
        "of real images": lambda seeds: over_seeds(seeds, "test.relabel.realism.frechet_distance_of_real_images", 1),
    }
    return cells.table(models, columns)


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
                accuracies = [cells.mean_percent([share[n] for share in shares]) for n in range(len(names))]
                rows.append([f"`{model}`", title, *accuracies])
    return report.table(["model", "asked for", *names], rows, left=2) if rows else ""


def short_table(models):
    """A table of what matters most, for the README."""
    columns = {
        "latent": cells.latent,
        "images seen": lambda seeds: report.mean_and_spread([field(seeds[0], "images_seen")], 0),
        "−ELBO, nats": lambda seeds: cells.nats(seeds, "test.negative_elbo"),
        "bits/dim": lambda seeds: over_seeds(seeds, "test.bits_per_dim"),
        "samples read as asked": lambda seeds: cells.percent(seeds, "test.sample_accuracy.accuracy"),
        "wrong label obeyed (a)": cells.reading("a", "accuracy"),
        "wrong label obeyed (b)": cells.reading("b", "accuracy"),
        "label ignored": lambda seeds: cells.percent(seeds, "test.relabel.ignored_label_accuracy"),
        "retention (a)": cells.reading("a", "retention"),
        "judge on real images": lambda seeds: cells.percent(seeds, "judge.accuracy"),
    }
    return cells.table(models, columns | cells.style(), left=2)


def classifier_table(records, kind):
    """The accuracy on real images of classifiers of a kind, such as `"judge"`."""
    rows = []
    for record in sorted(
        records, key=lambda r: (dataset_rank(r["dataset"]), -(r.get("images_seen") or 0), r["folder"])
    ):
        sizes = [field(record, f"data.{split}") for split in ("train", "validation", "test")]
        shares = [cells.mean_percent([record.get(f"{split}accuracy")], 2) for split in ("validation_", "test_", "")]
        numbers = [*sizes, record.get("parameters"), field(record, "seconds.training")]
        *counts, seconds = (report.mean_and_spread([number], 0) for number in numbers)
        rows.append([record["dataset"], f"`{record['run']}`", f"`{record['variant']}`", *counts, *shares, seconds])
    sizes = ["train images", "validation", "test", "parameters"]
    accuracies = ["on validation, %", "on test, %", "on both together, %"]
    return report.table(["data", "run", kind, *sizes, *accuracies, "training, s"], rows, left=3)
