"""Pictures of experiments: learning curves and grids of images.

Matplotlib is imported on first use, draws with its Agg backend and keeps no global state, so that pictures can be drawn
on a machine without a display and from any thread. Every picture is written atomically.
"""

import io
import math
import textwrap

import numpy as np

from experiments.harness.running.runs import write_atomic

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#555555", "#E69F00", "#56B4E9", "#882255")
"""Okabe and Ito's palette, which people with colour vision deficiencies tell apart, its yellow replaced by Tol's wine:
a colour for each of the U-Net matrix's eight rows."""

MAX_BYTES = 600_000
DPI = 110


def curves(histories, path, title, y, x=("images", "images seen"), styles=None, late=0.0, panel=(4.6, 3.6)):
    """Draws learning curves, one panel a quantity; with several seeds, their mean and each of them faintly.

    Args:
        histories: `{label: [history, ...]}`, one history a seed, none for a label that only takes up its colour; a
            history maps column names to number sequences. NaN values are left out.
        y: `{column: panel title}`, drawn left to right. Lines are labelled at their ends, in the last panel.
        x: column and axis label of the horizontal axis.
        styles: `{label: matplotlib line style}`; solid by default.
        late: the vertical axes fit the curves from this share of the longest one on, in [0, 1), so that a steep start
            does not flatten the rest.
        panel: width and height of a panel in inches.
    """
    figure = new_figure(panel[0] * len(y) + 1.2, panel[1], title)
    panels = figure.subplots(1, len(y), squeeze=False)[0]
    for axis, (column, panel_title) in zip(panels, y.items(), strict=True):
        ends = _panel(axis, histories, (x[0], column), styles or {}, late)
        axis.set_title(panel_title, loc="left", fontsize=10)
        axis.set_xlabel(x[1])
    _label_ends(panels[-1], ends)
    save_png(figure, path)


def _panel(axis, histories, columns, styles, late):
    """Draws a quantity of all labels; returns where their lines end, as `_label_ends` takes it."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    ends = []
    for index, (label, seeds) in enumerate(histories.items()):
        colour = COLOURS[index % len(COLOURS)]
        end = _line(axis, [_points(history, *columns) for history in seeds], colour, styles.get(label, "-"))
        if end is not None:
            ends.append((*end, label, colour))
    if late and axis.lines:
        points = np.concatenate([line.get_xydata() for line in axis.lines])
        heights = points[points[:, 0] >= late * points[:, 0].max(), 1]
        margin = 0.06 * np.ptp(heights) or 1.0
        axis.set_ylim(heights.min() - margin, heights.max() + margin)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    return ends


def _points(history, x, y):
    points = np.stack([np.asarray(history[x], float), np.asarray(history[y], float)])
    return points[:, np.isfinite(points).all(axis=0)]


def _line(axis, seeds, colour, style):
    """Draws the seeds of one label and returns where their mean ends, or None where there is nothing to draw."""
    seeds = [points for points in seeds if points.shape[1]]
    if not seeds:
        return None
    xs, ys = min(seeds, key=lambda points: points[0, -1])  # the mean ends where the first seed ends
    if len(seeds) > 1:
        ys = np.mean([np.interp(xs, *points) for points in seeds], axis=0)
        for points in seeds:
            axis.plot(*points, color=colour, linestyle=style, linewidth=0.8, alpha=0.35)
    axis.plot(xs, ys, color=colour, linestyle=style, linewidth=1.8, marker="o" if len(xs) == 1 else None)
    return xs[-1], ys[-1]


def _label_ends(axis, ends, gap=0.075):
    """Writes the labels beside the lines' ends, pushed apart where they would overlap."""
    low, high = axis.get_ylim()
    axis.set_ylim(low, high)
    ends = sorted(ends, key=lambda end: end[1])
    places = [(y - low) / (high - low) for _, y, _, _ in ends]
    for _ in range(100):
        for n in range(len(places) - 1):
            overlap = max(0.0, gap - (places[n + 1] - places[n]))
            places[n] -= overlap / 2
            places[n + 1] += overlap / 2
    arrow = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 1, "relpos": (0, 0.5)}
    for (x, y, label, colour), place in zip(ends, places, strict=True):
        axis.annotate(
            label,
            xy=(x, y),
            xytext=(1.05, place),
            textcoords="axes fraction",
            color=colour,
            fontsize=9,
            va="center",
            annotation_clip=False,
            arrowprops=arrow | {"color": colour},
        )


def tile_grid(rows, column_titles, row_titles, path, title="", legend=None, side=1.4):
    """Draws a grid of images; for the size of the file see `save_png`.

    Args:
        rows: lists of tiles. A tile is an image or `(image, caption)`; an image is uint8 in [0, 255] or float in [0, 1]
            of shape `(h, w, 3)`, or a bool mask `(h, w)`; None leaves a gap.
        row_titles: one a row; long lines are wrapped.
        legend: `{label: (r, g, b)}` in [0, 255], beneath the grid.
        side: of a tile, in inches at 110 pixels an inch.
    """
    from matplotlib.patches import Patch

    captions = any(isinstance(tile, tuple) for row in rows for tile in row)
    height = (side + 0.17 * captions) * len(rows) + 0.25 + 0.35 * bool(title)
    width = side * len(column_titles) + 1.5
    if legend:
        in_a_line = max(1, min(len(legend), int(width / (0.5 + 0.075 * max(map(len, legend))))))
        height += 0.1 + 0.2 * math.ceil(len(legend) / in_a_line)
    figure = new_figure(width, height, title)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0)
    axes = figure.subplots(len(rows), len(column_titles), squeeze=False)
    for row_axes, row, row_title in zip(axes, rows, row_titles, strict=True):
        for axis, tile in zip(row_axes, row, strict=True):
            _draw_tile(axis, *(tile if isinstance(tile, tuple) else (tile, "")))
        row_axes[0].set_ylabel(_wrap(row_title), rotation=0, ha="right", va="center", fontsize=8)
    for axis, column_title in zip(axes[0], column_titles, strict=True):
        axis.set_title(column_title, fontsize=9)
    if legend:
        handles = [Patch(color=np.array(colour) / 255, label=label) for label, colour in legend.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=in_a_line, frameon=False, fontsize=8)
    save_png(figure, path)


def _wrap(text, width=24):
    """Wraps each line of a text, at underscores too, since file names have no spaces."""
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line.replace("_", "_ "), width)]
    return "\n".join(lines).replace("_ ", "_")


def _draw_tile(axis, image, caption):
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    if image is None:
        return
    axis.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=1)  # the last three concern masks only
    axis.set_xlabel(caption, fontsize=8, labelpad=2)


def new_figure(width, height, title=""):
    """A `matplotlib.figure.Figure` of that size in inches, in constrained layout."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def save_png(figure, path):
    """Writes a figure as PNG, atomically; in 256 dithered colours, then smaller, where the file would be too large."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    image = Image.open(buffer).convert("RGB")
    data = png_bytes(image)
    while len(data) > MAX_BYTES:
        palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)
        data = png_bytes(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
        image = image.reduce(2)
    write_atomic(path, data)


def png_bytes(image):
    """A `PIL.Image` as the content of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
