"""Plots of the conditional VAE: learning curves, a view of the latents, label control against what it costs."""

import numpy as np

from experiments.cvaes.image_grids import wrapped
from experiments.cvaes.tradeoff import AIM, MARK, trade_off
from experiments.harness.reporting import figures
from experiments.harness.reporting.label_placement import place_labels
from experiments.harness.reporting.report import field, read_history
from experiments.harness.reporting.sections import run_title

CLASS_COLOURS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadb"),
)
"""Ten colours that people with colour vision deficiencies tell apart as well as ten can be (Petroff 2021, "Accessible
Color Sequences for Data Visualization")."""


def draw_pictures(records, results):
    """Draws `curves.png` of each model of a run and, where there are several, `tradeoff.png` of the run.

    Args:
        records: those of the run, with `folder`, relative to `results`.

    Raises:
        UserError: for a history that cannot be read; the message names it.
    """
    for record in records:
        folder, label = results / record["folder"], f"{record['variant']} seed {record['seed']}"
        title = f"Learning curves: {run_title(record['dataset'], label, record['run'])}"
        energy = field(record, "config.likelihood") == "features"
        draw_curves(read_history(folder / "history.csv"), folder / "curves.png", title, energy)
    points = trade_off(records)
    if points:
        title = run_title(records[0]["dataset"], "", records[0]["run"])
        path = (results / records[0]["folder"]).parents[1] / "tradeoff.png"
        draw_tradeoff(points, path, f"Label control and what it costs, on validation images: {title}")


def draw_curves(history, path, title, energy=False):
    """Draws negative ELBO, reconstruction and KL over a model's training; the axes fit the last four fifths.

    Args:
        history: maps the columns `images`, `loss`, `reconstruction`, `kl` and `negative_elbo`, and those but the first
            with `val_` in front, to a number an epoch. Where the loss ends apart from the negative ELBO, as with a KL
            weight other than 1, it has a panel of its own.
        path: PNG to write.
        title: of the figure.
        energy: whether the reconstruction is an energy, and so no ELBO what it makes with the KL divergence.
    """
    panels = {"negative_elbo": "Negative ELBO, nats", "reconstruction": "Reconstruction, nats", "kl": "KL, nats"}
    if energy:
        panels |= {"negative_elbo": "Energy and KL", "reconstruction": "Energy of the reconstruction"}
    if not np.isclose(history["loss"][-1], history["negative_elbo"][-1], rtol=1e-3):
        panels = {"loss": "Loss (KL weighted), nats", **panels}
    unit, word = (1e6, "million") if history["images"][-1] >= 1e6 else (1e3, "thousand")
    images = {"images": np.asarray(history["images"]) / unit}
    histories = {
        "validation": [images | {name: history[f"val_{name}"] for name in panels}],
        "training": [images | {name: history[name] for name in panels}],
    }
    x, size = ("images", f"{word} images seen"), (3.3 if len(panels) == 3 else 2.7, 2.9)
    figures.curves({"": histories}, path, title, panels, x, {"training": "--"}, late=0.2, panel=size)


def draw_latents(means, labels, names, path, title, caption=""):
    """Draws posterior means along their first two principal components, coloured by class; diamonds are medians.

    Args:
        means: `(n, *latent_shape)`, n at least 2.
        labels: integers `(n,)`.
        names: of the classes; beyond ten, colours are used again.
        path: PNG to write.
        title: of the figure.
        caption: below it; wrapped.
    """
    labels = np.asarray(labels)
    points, shares = principal_components(np.reshape(means, (len(means), -1)))
    figure = figures.new_figure(8.6, 6.4, title)
    axis = figure.subplots()
    order = np.random.default_rng(0).permutation(len(points))  # or the last class would cover the others
    repeated = CLASS_COLOURS * -(-len(names) // len(CLASS_COLOURS))
    colours = np.array(repeated)[labels]
    size = float(np.clip(9000 / len(points), 3, 20))
    axis.scatter(*points[order].T, c=colours[order], s=size, alpha=0.7, linewidths=0)
    present = np.unique(labels)
    medians = [np.median(points[labels == label], axis=0) for label in present]
    for label, median in zip(present, medians, strict=True):
        axis.plot(*median, marker="D", markersize=7, color=repeated[label], markeredgecolor="black")
    axis.set_xlabel(f"first principal component, {shares[0]:.1%} of the variance")
    axis.set_ylabel(f"second, {shares[1]:.1%}")
    axis.set_aspect("equal", adjustable="datalim")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    lines = "\n".join(wrapped(caption, figure.bbox.width - 30, 9))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=9, parse_math=False)
    place_labels(axis, medians, [names[label] for label in present], [repeated[label] for label in present])
    figures.save_png(figure, path)


def principal_components(data):
    """The first two principal components.

    Args:
        data: `(n, dimensions)`.

    Returns:
        Points `(n, 2)`, and the share of the variance that each component has, in [0, 1]; zeros where there is none.
    """
    centred = np.asarray(data, "float64") - np.mean(data, axis=0, dtype="float64")
    if centred.shape[1] == 1:
        centred = np.pad(centred, ((0, 0), (0, 1)))
    _, variances, axes = np.linalg.svd(centred.T @ centred, hermitian=True)
    return centred @ axes[:2].T, variances[:2] / (variances.sum() or 1.0)


def draw_tradeoff(points, path, title):
    """Draws how far models obey a wrong label against how much of the image they keep, and what their training costs.

    Args:
        points: dictionaries, one a model: `name`; `relabel_a`, `relabel_b`: relabel accuracy in both readings;
            `retention`, `retention_b`: in both; `images_seen` in training and `milliseconds` that each took, or None;
            `chosen`, bool. Shares lie in [0, 1].
        path: PNG to write.
        title: of the figure.
    """
    from matplotlib.ticker import PercentFormatter

    with_cost = [point for point in points if point["milliseconds"] is not None]
    figure = figures.new_figure(11 if with_cost else 6.4, 4.8, title)
    left, *right = figure.subplots(1, 1 + bool(with_cost), squeeze=False)[0]
    left.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.08), ylabel="retention")
    left.yaxis.set_major_formatter(PercentFormatter(1))
    _mark_goals(left)
    for point in points:
        pair = [point["relabel_a"], point["relabel_b"]]
        left.plot(pair, [point["retention"], point["retention_b"]], color="#999999", linewidth=1, zorder=1)
        _dot(left, pair[1], point["retention_b"], point["chosen"], hollow=True)
        _dot(left, pair[0], point["retention"], point["chosen"])
    for axis in right:
        axis.set(ylabel="training, milliseconds an image", xlim=(-0.02, 1.02))
        axis.set_ylim(0, 1.2 * max(point["milliseconds"] for point in with_cost))
        for point in with_cost:
            _dot(axis, point["relabel_a"], point["milliseconds"], point["chosen"])
    for axis in (left, *right):
        axis.set_xlabel("read as the wrong label sent in" + ", reading (a)" * (axis is not left))
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    _legend(figure, any(point["chosen"] for point in points))
    _name_points(left, points, "retention")
    for axis in right:
        _name_points(axis, with_cost, "milliseconds")
    figures.save_png(figure, path)


def _mark_goals(axis):
    from matplotlib.patches import Rectangle

    colour = figures.COLOURS[2]
    axis.add_patch(Rectangle(AIM, 2, 2, facecolor=colour, alpha=0.1, linewidth=0, zorder=0))
    axis.add_patch(Rectangle(MARK, 2, 2, fill=False, edgecolor=colour, linestyle="--", linewidth=1, zorder=0))
    for name, corner in (("aim", (AIM[0], axis.get_ylim()[1])), ("mark", (MARK[0], axis.get_ylim()[1]))):
        style = {"color": colour, "fontsize": 9, "fontstyle": "italic", "va": "top"}
        axis.annotate(name, corner, (5, -4), textcoords="offset points", **style)


def _dot(axis, x, y, chosen, hollow=False):
    colour = figures.COLOURS[1 if chosen else 0]
    style = {"s": 150 if chosen else 48, "marker": "*" if chosen else "o", "edgecolors": colour, "linewidths": 1.3}
    axis.scatter([x], [y], facecolors="white" if hollow else colour, zorder=2, **style)


def _legend(figure, with_chosen):
    from matplotlib.lines import Line2D

    def entry(label, marker, colour, face, size=7):
        return Line2D(
            [], [], linestyle="", marker=marker, color=colour, markerfacecolor=face, markersize=size, label=label
        )

    blue, orange = figures.COLOURS[0], figures.COLOURS[1]
    handles = [
        entry("(a) encoder and decoder get the wrong label", "o", blue, blue),
        entry("(b) the decoder alone gets it", "o", blue, "white"),
        *[entry("chosen", "*", orange, orange, 12)] * with_chosen,
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _name_points(axis, points, height):
    """Names the points, with the images that they saw where these differ."""
    places = [(point["relabel_a"], point[height]) for point in points]
    also = [(point["relabel_b"], point["retention_b"]) for point in points] if height == "retention" else []
    weights = ["bold" if point["chosen"] else "normal" for point in points]
    names = [point["name"] for point in points]
    if height == "milliseconds" and len({point["images_seen"] for point in points}) > 1:
        names = [f"{point['name']}, {point['images_seen']:,} images" for point in points]
    place_labels(axis, places, names, avoid=also, weights=weights)
