"""Label control against what it costs: models compared, as points and as a table."""

from experiments.cvaes import cells
from experiments.harness.reporting import report
from experiments.harness.reporting.report import field, over_seeds

CHOSEN = "control"
"""The model that was chosen from a trade-off between label control and what it costs."""

MARK, AIM = (0.8, 0.75), (0.9, 0.9)
"""Relabel accuracy and retention, both in reading (a): what CIFAR-10's chosen model should reach, and aims at."""

WORDS = ("likelihood", "latent", "prior", "label by", "network")
SETTINGS = {
    "likelihood": ("likelihood", cells.likelihood),
    "latent_shape": ("latent", cells.latent),
    "prior": ("prior", cells.config("prior")),
    "conditioning": ("label by", cells.config("conditioning")),
    "network": ("network", cells.config("network")),
    "kl_weight": ("KL weight", cells.config("kl_weight")),
    "wrong_label_share": ("wrong labels", cells.config("wrong_label_share")),
    "classifier_weight": ("classifier", cells.config("classifier_weight")),
    "layout_weight": ("layout", cells.config("layout_weight")),
    "adversary_weight": ("adversary", cells.config("adversary_weight")),
    "label_dim": ("label dim", cells.config("label_dim")),
    "free_bits": ("free bits", cells.config("free_bits")),
    "batch_size": ("batch", cells.config("batch_size")),
    "learning_rate": ("rate", cells.config("learning_rate")),
}
"""Columns of `trade_off_table` where models differ, by field of the recipe; those of `WORDS` hold words."""


def trade_off(records):
    """How far each model of a run obeys a wrong label and what that costs, on validation images, means over seeds.

    Returns:
        What `cvaes.plots.draw_tradeoff` draws, by `relabel_a`, the highest first; empty for fewer than two models
        with these scores.
    """
    points = []
    for name, seeds in cells.by_model(records).items():
        a, b = ("validation.relabel.readings.a", "validation.relabel.readings.b")
        point = {
            "relabel_a": cells.mean(field(record, f"{a}.accuracy") for record in seeds),
            "relabel_b": cells.mean(field(record, f"{b}.accuracy") for record in seeds),
            "retention": cells.mean(field(record, f"{a}.retention") for record in seeds),
            "retention_b": cells.mean(field(record, f"{b}.retention") for record in seeds),
        }
        if None not in point.values():
            cost = {
                "images_seen": seeds[0].get("images_seen"),
                "milliseconds": cells.mean(map(cells.milliseconds, seeds)),
            }
            points.append({"name": name, **point, **cost, "chosen": name == CHOSEN})
    return sorted(points, key=lambda point: -point["relabel_a"]) if len(points) > 1 else []


def reached(points, goal):
    """The names of the points of `trade_off` that reach a goal, `MARK` or `AIM`, in both of its numbers."""
    return [p["name"] for p in points if p["relabel_a"] >= goal[0] and p["retention"] >= goal[1]]


def trade_off_table(records):
    """The points of `trade_off` with what sets the models apart, what they cost and how they do on the test split."""
    models = cells.by_model(records)
    ordered = {point["name"]: models[point["name"]] for point in trade_off(records)}
    columns = {}
    for key, (title, cell) in SETTINGS.items():
        if len({str(field(seeds[0], f"config.{key}")) for seeds in ordered.values()}) > 1:
            columns[title] = cell
    left = 1 + len([title for title in columns if title in WORDS])
    columns["images seen"] = lambda seeds: report.mean_and_spread([field(seeds[0], "images_seen")], 0)
    columns["training, ms an image"] = lambda seeds: report.mean_and_spread(map(cells.milliseconds, seeds), 2)
    columns["images/s"] = lambda seeds: over_seeds(seeds, "images_per_second", 0)
    columns["validation bits/dim"] = lambda seeds: report.mean_and_spread(map(cells.validation_bits, seeds), 3)
    columns["test bits/dim"] = lambda seeds: over_seeds(seeds, "test.bits_per_dim")
    for split in ("validation", "test"):
        columns[f"{split} (a)"] = cells.reading("a", "accuracy", split)
        columns[f"{split} (b)"] = cells.reading("b", "accuracy", split)
        columns[f"{split} retention"] = cells.reading("a", "retention", split)
        columns[f"{split} ignored"] = lambda seeds, split=split: cells.percent(
            seeds, f"{split}.relabel.ignored_label_accuracy"
        )
    return cells.table(ordered, columns, left, CHOSEN)


def tradeoff_part(records, folder, results_dir):
    """The summary's part on a run of several models: text, table and picture; nothing for a run of one.

    Args:
        records: of the run.
        folder: of the run, relative to `results_dir`, which is the summary's.

    Returns:
        List of pieces of Markdown.
    """
    points = trade_off(records)
    if not points:
        return []
    goals = []
    for name, goal in (("mark", MARK), ("aim", AIM)):
        names = ", ".join(f"`{model}`" for model in reached(points, goal)) or "no model"
        goals.append(f"The {name} is {goal[0]:.0%} in reading (a) with a retention of {goal[1]:.0%}: {names}.")
    seen = {point["images_seen"] for point in points}
    trained = f"Each model saw {seen.pop():,} images in training. " if len(seen) == 1 and None not in seen else ""
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
