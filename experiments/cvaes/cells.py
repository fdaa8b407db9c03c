"""What a cell says of a conditional VAE's records, one a seed, and how rows become a Markdown table."""

from experiments.harness.reporting import report
from experiments.harness.reporting.report import MISSING, field, over_seeds

FIRST = ("standard", "control", "features", "density", "plain")
"""Models in the order of the tables, before all others; where a run has some of them, they are its headline models."""

DATASETS = ("mnist", "cifar10")
"""Datasets in the order of the page, before all others."""

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


def table(models, columns, left=1, chosen=None):
    """A table with a row a model; columns in which no row has anything are left out."""
    filled = {title: [function(seeds) for seeds in models.values()] for title, function in columns.items()}
    filled = {title: column for title, column in filled.items() if any(cell not in (None, MISSING) for cell in column)}
    names = [f"**`{name}`** ★" if name == chosen else f"`{name}`" for name in models]
    return report.table(["model", *filled], list(zip(names, *filled.values(), strict=True)), left)


def classes(models):
    """The number of classes."""
    return len(next(iter(models.values()))[0]["class_names"])


def judges(models):
    """The names of the judges of a run; none where its records name none."""
    named = (field(record, "judge.judges") or {} for seeds in models.values() for record in seeds)
    return list(dict.fromkeys(name for names in named for name in names))


def each(title, names, path, inner=""):
    """A column for each judge of these names."""
    return {f"{title} `{name}`": lambda seeds, name=name: percent(seeds, f"{path}.{name}{inner}") for name in names}


def style():
    """Columns of what digits keep of their style under a wrong label."""
    measures = {"slant": "slant", "stroke thickness": "stroke_thickness"}
    return {
        f"{title} kept, r": lambda seeds, key=key: over_seeds(seeds, f"test.relabel.style.{key}", 2)
        for title, key in measures.items()
    }


def config(key):
    """The cell of a field of the recipe."""

    def cell(seeds):
        value = field(seeds[0], f"config.{key}")
        return f"{value:g}" if isinstance(value, float) else value

    return cell


def likelihood(seeds):
    name = field(seeds[0], "config.likelihood")
    if name == "features":
        return f"{name} (an energy)"
    return f"{name} (not comparable)" if field(seeds[0], "test.comparable") is False else name


def latent(seeds):
    shape = field(seeds[0], "config.latent_shape")
    return None if shape is None else " x ".join(map(str, shape))


def active_units(seeds):
    units = field(seeds[0], "test.latent_units")
    active = over_seeds(seeds, "test.active_units", int(len(seeds) > 1))
    return None if units is None else f"{active} of {units:,}"


def nats(seeds, path):
    value = field(seeds[0], path)
    return over_seeds(seeds, path, 2 if value is None or abs(value) < 1000 else 1)


def percent(seeds, path):
    return over_seeds(seeds, path, 1, 100)


def reading(key, score, split="test"):
    """The cell of a score of a reading, a key of `READINGS`."""
    return lambda seeds: percent(seeds, f"{split}.relabel.readings.{key}.{score}")


def milliseconds(record):
    """What a training image costs; None where a record does not say."""
    seconds, images = field(record, "seconds.training"), record.get("images_seen")
    return 1000 * seconds / images if seconds and images else None


def mean_percent(shares, digits=1):
    share = mean(shares)
    return MISSING if share is None else f"{100 * share:.{digits}f}"


def mean(values):
    values = list(values)
    return None if None in values else sum(values) / len(values)


def validation_bits(record):
    """Bits/dim on validation images: as many to a nat as on test images."""
    paths = ("validation.negative_elbo", "test.bits_per_dim", "test.negative_elbo")
    elbo, bits, of_test = (field(record, path) for path in paths)
    return None if None in (elbo, bits) or not of_test else elbo * bits / of_test
