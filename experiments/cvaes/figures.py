"""Plots of the conditional VAE: learning curves, a view of the latents, label control against what it costs."""

import itertools

import numpy as np

from experiments.cvaes.image_grids import wrapped
from experiments.cvaes.tradeoff import AIM, MARK, trade_off
from experiments.harness.reporting import figures
from experiments.harness.reporting.report import field, read_history
from experiments.harness.reporting.sections import run_title

CLASS_COLOURS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"]
CLASS_COLOURS += ["#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadb"]
"""Ten colours that people with colour vision deficiencies tell apart as well as ten can be (Petroff 2021, "Accessible
Color Sequences for Data Visualization")."""
IN_LEGEND = 20
"""Classes at most that the legend of `latents.png` names."""


def draw_pictures(records, results):
    """Draws `curves.png` of each of a run's records and, where there are several models, `tradeoff.png` of the run."""
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
    figures.curves(histories, path, title, panels, x, {"training": "--"}, late=0.2, panel=size)


def draw_latents(means, labels, names, path, title, caption=""):
    """Draws posterior means along their first two principal components, coloured by class; diamonds are medians.

    Args:
        means: `(n, *latent_shape)`, n at least 2.
        labels: integers `(n,)`.
        names: of the classes; beyond ten, colours are used again.
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
    for label in np.unique(labels):
        median, colour = np.median(points[labels == label], axis=0), repeated[label]
        axis.plot(*median, "D", markersize=7, color=colour, markeredgecolor="black",
                  label=names[label] if label < IN_LEGEND else None)  # fmt: skip
    axis.set_xlabel(f"first principal component, {shares[0]:.1%} of the variance")
    axis.set_ylabel(f"second, {shares[1]:.1%}")
    axis.set_aspect("equal", adjustable="datalim")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    lines = "\n".join(wrapped(caption, figure.bbox.width - 30, 9))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=9, parse_math=False)
    figure.legend(loc="outside right center", frameon=False, title="class, with\nits median", fontsize=9)
    figures.save_png(figure, path)


def principal_components(data):
    """The first two principal components of data `(n, dimensions)`.

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
            `retention`, `retention_b`: in both; `images_seen` in training and `milliseconds` that each took; `chosen`,
            bool. Shares lie in [0, 1].
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import PercentFormatter

    figure = figures.new_figure(11, 4.8, title)
    left, right = figure.subplots(1, 2)
    left.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.08), ylabel="retention")
    right.set(xlim=(-0.02, 1.02), ylim=(0, 1.2 * max(point["milliseconds"] for point in points)))
    right.set_ylabel("training, milliseconds an image")
    left.yaxis.set_major_formatter(PercentFormatter(1))
    _mark_goals(left)
    alike, handles = len({point["images_seen"] for point in points}) == 1, []
    for point, colour in zip(points, itertools.cycle(figures.COLOURS)):
        name = point["name"] if alike else f"{point['name']}, {point['images_seen']:,} images"
        dot = {"color": colour, "marker": "*" if point["chosen"] else "o", "markersize": 13 if point["chosen"] else 7}
        pair = [point["relabel_a"], point["relabel_b"]]
        left.plot(pair, [point["retention"], point["retention_b"]], color="#999999", linewidth=1, zorder=1)
        left.plot(pair[0], point["retention"], **dot)
        left.plot(pair[1], point["retention_b"], **dot, markerfacecolor="white")
        right.plot(pair[0], point["milliseconds"], **dot)
        handles.append(Line2D([], [], linestyle="", label=name + " (chosen)" * point["chosen"], **dot))
    for axis in (left, right):
        axis.set_xlabel("read as the wrong label sent in" + ", reading (a)" * (axis is right))
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    readings = {"(a) encoder and decoder get the wrong label": "black", "(b) the decoder alone gets it": "white"}
    for label, face in readings.items():
        handles.append(Line2D([], [], linestyle="", marker="o", color="black", markerfacecolor=face, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figures.save_png(figure, path)


def _mark_goals(axis):
    """Shades the aim and draws the mark's border."""
    from matplotlib.patches import Rectangle

    colour = figures.COLOURS[2]
    axis.add_patch(Rectangle(AIM, 2, 2, facecolor=colour, alpha=0.1, linewidth=0, zorder=0))
    axis.add_patch(Rectangle(MARK, 2, 2, fill=False, edgecolor=colour, linestyle="--", linewidth=1, zorder=0))
    for name, corner in (("aim", (AIM[0], axis.get_ylim()[1])), ("mark", (MARK[0], axis.get_ylim()[1]))):
        style = {"color": colour, "fontsize": 9, "fontstyle": "italic", "va": "top"}
        axis.annotate(name, corner, (5, -4), textcoords="offset points", **style)
