"""Pictures of the conditional VAE that are made of images: wrong labels, all labels, samples, reconstructions.

Images are float NumPy arrays in [0, 1] of shape `(..., height, width, 1 or 3)`; labels are integers.
"""

import math

import numpy as np

from experiments.harness.reporting.image_grids import Sheet, image_grid, whole_scale

RIGHT, WRONG = ("✓", "#00694B"), ("✗", "#B3261E")
"""Sign and colour of what the judge reads: the label asked for, or another."""

TILES_ACROSS, PAIRS_ACROSS = 5, 10
TILE = 160
"""Pixels of an image's longer side in `draw_wrong_labels`, at most."""

ARROW, TEXT_LINE, GAP_RIGHT, GAP_BELOW = 26, 24, 26, 14
"""Pixels between the images of a tile, for a line of text, and between tiles."""


def draw_wrong_labels(inputs, outputs, true, asked, read, names, path, title, caption=""):
    """Draws test images that were sent in with a wrong label, each beside what came out, five tiles across.

    Args:
        inputs, outputs: `(n, h, w, c)`; 25 make a square.
        true, asked: `(n,)`: true labels, and labels sent in.
        read: `{judge: (n,)}`: each judge's reading of the outputs.
        names: the classes' names.
        path: PNG to write.
        title: of the picture.
        caption: below it: model, relabel accuracy, the judge's accuracy; what the marks mean is added.
    """
    count, scale = len(inputs), whole_scale(max(inputs.shape[1:3]), TILE)
    asked, readings = np.asarray(asked), list(zip(*read.values(), strict=True))
    height, width = (scale * side for side in inputs.shape[1:3])
    columns = min(TILES_ACROSS, count)
    across, down = 2 * width + ARROW + GAP_RIGHT, height + 2 * TEXT_LINE + GAP_BELOW
    obeyed = int(np.sum(np.all([labels == asked for labels in read.values()], axis=0)))
    marks = (
        f"Above each pair: true class → label sent in. Below: what the judges read in the output, {RIGHT[0]} where all "
        f"of them read that label: {obeyed} of these {count}."
    )
    size = columns * across - GAP_RIGHT, math.ceil(count / columns) * down - GAP_BELOW
    sheet = Sheet(*size, title, f"{caption}\n{marks}".strip())
    for n in range(count):
        x, y = n % columns * across, n // columns * down + TEXT_LINE
        sheet.image(inputs[n], x, y, scale)
        sheet.image(outputs[n], x + width + ARROW, y, scale)
        middle, widest = x + width + ARROW / 2, across - 6
        heading = f"{names[true[n]]} → {names[asked[n]]}"
        verdict = f"read as {' / '.join(dict.fromkeys(names[label] for label in readings[n]))}"
        sign, colour = RIGHT if all(label == asked[n] for label in readings[n]) else WRONG
        sheet.text(middle, y - TEXT_LINE / 2 - 2, heading, size=11, weight="bold", max_width=widest)
        sheet.text(middle, y + height / 2, "→", size=12, color="#555555")
        sheet.text(middle, y + height + TEXT_LINE / 2 + 2, f"{sign} {verdict}", color=colour, max_width=widest)
    sheet.save(path)


def draw_label_sweep(inputs, outputs, true, names, path, title, caption=""):
    """Draws test images, one a row, under all labels, one a column; the image's own label is framed.

    Args:
        inputs: `(rows, h, w, c)`.
        outputs: `(rows, classes, h, w, c)`.
        true: `(rows,)`, true labels.
        names, path, title, caption: as for `draw_wrong_labels`.
    """
    image_grid(
        [[image, *row] for image, row in zip(inputs, outputs, strict=True)],
        {0: ["input", *names]},
        [names[label] for label in true],
        path,
        title,
        f"{caption}\nLeft: the test image and its class. Framed: the image's own label.".strip(),
        wide_columns=(0,),
        framed={(row, 1 + int(label)) for row, label in enumerate(true)},
    )


def draw_samples(samples, names, path, title, caption=""):
    """Draws new images, a row a class.

    Args:
        samples: `(classes, per_class, h, w, c)`.
        names, path, title, caption: as for `draw_wrong_labels`.
    """
    image_grid(list(samples), {}, names, path, title, caption)


def draw_reconstructions(inputs, outputs, labels, names, path, title, caption=""):
    """Draws test images, each above its reconstruction, ten across, sorted by class.

    Args:
        inputs, outputs: `(n, h, w, c)`.
        labels: `(n,)`.
        names, path, title, caption: as for `draw_wrong_labels`.
    """
    order, columns = np.argsort(labels, kind="stable"), min(PAIRS_ACROSS, len(labels))
    rows, headings = [], {}
    for start in range(0, len(order), columns):
        shown = order[start : start + columns]
        rest = [None] * (columns - len(shown))
        headings[len(rows)] = [names[labels[n]] for n in shown]
        rows += [[*inputs[shown], *rest], [*outputs[shown], *rest]]
    titles = ["input", "output"] * len(headings)
    image_grid(rows, headings, titles, path, title, caption, wide_rows=range(1, len(rows), 2))
