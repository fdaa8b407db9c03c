"""Label control against what it costs: models compared, as points and as a table."""

from experiments.cvaes import tables
from experiments.harness.reporting import report, sections
from experiments.harness.reporting.report import field

CHOSEN = "control"
"""The model that was chosen from a trade-off between label control and what it costs."""

MARK, AIM = (0.8, 0.75), (0.9, 0.9)
"""Relabel accuracy and retention, both in reading (a): what CIFAR-10's chosen model should reach, and aims at."""

WORDS = ("likelihood", "latent", "prior", "label by", "network")
SETTINGS = {
    "likelihood": "likelihood",
    "latent_shape": "latent",
    "prior": "prior",
    "conditioning": "label by",
    "network": "network",
    "kl_weight": "KL weight",
    "wrong_label_share": "wrong labels",
    "classifier_weight": "classifier",
    "layout_weight": "layout",
    "adversary_weight": "adversary",
    "label_dim": "label dim",
    "free_bits": "free bits",
    "batch_size": "batch",
    "learning_rate": "rate",
}
"""Columns of `trade_off_table` where models differ, by field of the recipe; those of `WORDS` hold words."""


def trade_off(records):
    """How far each model of a run obeys a wrong label and what that costs, on validation images, means over seeds.

    Returns:
        What `cvaes.figures.draw_tradeoff` draws, by `relabel_a`, the highest first; empty for fewer than two models
        with these scores.
    """
    points, scores = [], {"relabel_a": "a.accuracy", "relabel_b": "b.accuracy"}
    scores |= {"retention": "a.retention", "retention_b": "b.retention"}
    for name, seeds in tables.by_model(records).items():
        point = {
            score: _mean([field(record, f"validation.relabel.readings.{path}") for record in seeds])
            for score, path in scores.items()
        }
        if None not in point.values():
            cost = {"images_seen": seeds[0]["images_seen"], "milliseconds": _mean(list(map(_milliseconds, seeds)))}
            points.append({"name": name, **point, **cost, "chosen": name == CHOSEN})
    return sorted(points, key=lambda point: -point["relabel_a"]) if len(points) > 1 else []


def _mean(values):
    return None if None in values else sum(values) / len(values)


def _milliseconds(record):
    """What a training image costs in the median epoch, compilation apart."""
    return 1000 / record["images_per_second"]


def _validation_bits(record):
    """Bits/dim on validation images: as many to a nat as on test images."""
    paths = ("validation.negative_elbo", "test.bits_per_dim", "test.negative_elbo")
    elbo, bits, of_test = (field(record, path) for path in paths)
    return None if None in (elbo, bits) or not of_test else elbo * bits / of_test


def reached(points, goal):
    """The names of the points of `trade_off` that reach a goal, `MARK` or `AIM`, in both of its numbers."""
    return [p["name"] for p in points if p["relabel_a"] >= goal[0] and p["retention"] >= goal[1]]


def trade_off_table(records):
    """The points of `trade_off` with what sets the models apart, what they cost and how they do on the test split."""
    models = tables.by_model(records)
    ordered = {point["name"]: models[point["name"]] for point in trade_off(records)}
    special = {"likelihood": tables.likelihood, "latent_shape": tables.latent}
    columns = {
        title: special.get(key, sections.of_first(f"config.{key}"))
        for key, title in SETTINGS.items()
        if len({str(field(seeds[0], f"config.{key}")) for seeds in ordered.values()}) > 1
    }
    columns |= {
        "images seen": sections.of_first("images_seen"),
        "images/s": ("images_per_second", 0),
        "validation bits/dim": lambda seeds: report.mean_and_spread(map(_validation_bits, seeds), 3),
        "test bits/dim": "test.bits_per_dim",
    }
    for split in ("validation", "test"):
        columns |= {
            f"{split} (a)": tables.reading("a", "accuracy", split),
            f"{split} (b)": tables.reading("b", "accuracy", split),
            f"{split} retention": tables.reading("a", "retention", split),
            f"{split} ignored": tables.percent(f"{split}.relabel.ignored_label_accuracy"),
        }
    rows = sections.rows(ordered, columns)
    for row, name in zip(rows, ordered, strict=True):
        row["model"] = f"**`{name}`** ★" if name == CHOSEN else row["model"]
    return sections.table(rows, WORDS)


def tradeoff_part(records, folder, results_dir):
    """The summary's part on a run of several models: text, table and picture; nothing for a run of one.

    Returns a list of pieces of Markdown. The run's `folder` is relative to `results_dir`, which is the summary's.
    """
    points = trade_off(records)
    if not points:
        return []
    goals = []
    for name, goal in (("mark", MARK), ("aim", AIM)):
        names = ", ".join(f"`{model}`" for model in reached(points, goal)) or "no model"
        goals.append(f"The {name} is {goal[0]:.0%} in reading (a) with a retention of {goal[1]:.0%}: {names}.")
    seen = {point["images_seen"] for point in points}
    trained = f"Each model saw {seen.pop():,} images in training. " if len(seen) == 1 else ""
    text = (
        "**Label control against what it costs**: the models sorted by reading (a) on validation images, where the "
        f"choice was made (★: chosen). {trained}Shares are in percent, retention is in reading (a). *ignored*: reading "
        "(a) or (b) of a model that ignores its label. Reached on validation images: " + " ".join(goals)
    )
    picture = report.picture(
        results_dir,
        f"{folder}/tradeoff.png",
        "Scatter plots of the models: relabel accuracy against retention and against training time an image",
        "Label control against retention and against the cost of training, on validation images. Shaded: the aim; "
        "dashed: the mark.",
    )
    return [text, trade_off_table(records), picture]
