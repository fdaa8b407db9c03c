"""Pictures of the conditional VAE that are made of images: wrong labels, all labels, samples, reconstructions.

Images are float NumPy arrays in [0, 1] of shape `(..., height, width, 1 or 3)`; labels are integers. Each image pixel
becomes a square of whole pixels, so nothing blurs, as it would in axes that Matplotlib lays out.
"""

import textwrap
from dataclasses import dataclass

import numpy as np

from experiments.harness.reporting.figures import DPI, new_figure, save_png

RIGHT, WRONG = ("✓", "#00694B"), ("✗", "#B3261E")
"""Sign and colour of what the judge reads: the label asked for, or another."""

FRAME, FRAME_COLOUR = 3, (230, 159, 0)
MARGIN, LINE, NARROWEST = 16, 22, 480  # in pixels: around the picture, a line of text, the width of all images
TITLE, TEXT, CHARACTER = 12, 9.5, 0.9  # font sizes in points, and the width of a character in pixels a point


@dataclass(frozen=True)
class Tile:
    """An image of a grid, with texts.

    Attributes:
        image: float `(h, w, 1 or 3)` in [0, 1].
        above, below, middle: where the texts stand; `colour` is that of the one below.
        framed: whether there is a frame around it.
    """

    image: object
    above: str = ""
    below: str = ""
    middle: str = ""
    colour: str = "black"
    framed: bool = False


def image_grid(rows, row_titles, path, title="", caption="", side=100, gaps=(5, 5)):
    """Draws a grid of small images of one size.

    Args:
        rows: lists of `Tile`s, the first row the longest.
        title, caption: above and below the grid; wrapped.
        side: pixels of an image's height, at most: each of its own pixels is drawn as a square of whole pixels.
        gaps: pixels between columns and between rows.
    """
    scale = max(1, side // len(rows[0][0].image))
    height, width = (scale * n for n in rows[0][0].image.shape[:2])
    left = MARGIN + round(max(map(len, row_titles)) * CHARACTER * TEXT) + 8 * any(row_titles)
    wide = MARGIN + max(NARROWEST, left + len(rows[0]) * (width + gaps[0]) - gaps[0])
    titles, captions = (wrapped(text, wide - 2 * MARGIN, size) for text, size in ((title, TITLE), (caption, TEXT)))
    tops, y = [], MARGIN + LINE * len(titles)
    for row in rows:
        tops.append(y + LINE * any(tile.above for tile in row))
        y = tops[-1] + height + LINE * any(tile.below for tile in row) + gaps[1]
    canvas = np.full((y + LINE * len(captions) + MARGIN, wide, 3), 255, np.uint8)
    texts = [(MARGIN, MARGIN + LINE * n, line, TITLE, {"weight": "bold"}) for n, line in enumerate(titles)]
    texts += [(MARGIN, y + LINE * (n + 0.5), line, TEXT, {}) for n, line in enumerate(captions)]
    for top, row, row_title in zip(tops, rows, row_titles, strict=True):
        texts.append((left - 8, top + height / 2, row_title, TEXT, {"ha": "right"}))
        for column, tile in enumerate(row):
            x = left + column * (width + gaps[0])
            if tile.framed:
                canvas[top - FRAME : top + height + FRAME, x - FRAME : x + width + FRAME] = FRAME_COLOUR
            pixels = np.round(np.clip(tile.image, 0, 1) * 255).astype(np.uint8)
            canvas[top : top + height, x : x + width] = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
            texts += _texts(tile, x + width / 2, top, top + height, width + gaps[0] - 10)
    _save(canvas, texts, path)


def _texts(tile, x, top, bottom, room):
    """The texts of a tile around its middle `x`, smaller where they would be wider than `room`."""
    for words, y, style in (
        (tile.above, top - LINE / 2, {"weight": "bold"}),
        (tile.middle, (top + bottom) / 2, {"color": "#555555"}),
        (tile.below, bottom + LINE / 2, {"color": tile.colour}),
    ):
        yield x, y, words, min(TEXT, room / CHARACTER / max(1, len(words))), style | {"ha": "center"}


def _save(canvas, texts, path):
    """Writes texts over an image; a text is `(x, y, words, font size, style)`, in pixels from the upper left corner."""
    height, width = canvas.shape[:2]
    figure = new_figure((width + 0.1) / DPI, (height + 0.1) / DPI)  # or a size may be rounded down to a pixel less
    figure.set_layout_engine("none")
    figure.figimage(canvas, origin="upper")
    for x, y, words, size, style in texts:
        if words:
            figure.text(x / width, 1 - y / height, words, fontsize=size, va="center", parse_math=False, **style)
    save_png(figure, path)


def wrapped(text, width, size):
    """The lines of a text, of about `width` pixels at most at a font size in points."""
    characters = int(width / size / CHARACTER)
    return [line for part in text.splitlines() for line in textwrap.wrap(part, characters)]


def draw_wrong_labels(inputs, outputs, true, asked, read, names, path, title, caption=""):
    """Draws test images that were sent in with a wrong label, each beside what came out, five pairs across.

    Args:
        inputs, outputs: `(n, h, w, c)`; 25 make a square.
        true, asked: `(n,)`: true labels, and labels sent in.
        read: `{judge: (n,)}`: each judge's reading of the outputs.
        names: the classes' names.
        caption: below it: model, relabel accuracy, the judge's accuracy; what the marks mean is added.
    """
    tiles, obeyed = [], 0
    between = np.ones((len(inputs), inputs.shape[1], max(1, inputs.shape[2] // 6), inputs.shape[3]))
    for n, pair in enumerate(np.concatenate([inputs, between, outputs], axis=2)):
        readings = [labels[n] for labels in read.values()]
        right = all(label == asked[n] for label in readings)
        obeyed += right
        sign, colour = RIGHT if right else WRONG
        verdict = f"{sign} read as {' / '.join(dict.fromkeys(names[label] for label in readings))}"
        tiles.append(Tile(pair, f"{names[true[n]]} → {names[asked[n]]}", verdict, "→", colour))
    marks = (
        f"Above each pair: true class → label sent in. Below: what the judges read in the output, {RIGHT[0]} where all "
        f"of them read that label: {obeyed} of these {len(tiles)}."
    )
    rows = [tiles[n : n + 5] for n in range(0, len(tiles), 5)]
    image_grid(rows, [""] * len(rows), path, title, f"{caption}\n{marks}", side=160, gaps=(26, 14))


def draw_label_sweep(inputs, outputs, true, names, path, title, caption=""):
    """Draws test images, one a row, under all labels, one a column; the image's own label is framed.

    Args:
        inputs: `(rows, h, w, c)`.
        outputs: `(rows, classes, h, w, c)`.
        true: `(rows,)`, true labels.
        names, path, title, caption: as for `draw_wrong_labels`.
    """
    rows = []
    for n, (image, shown) in enumerate(zip(inputs, outputs, strict=True)):
        headings = ["input", *names] if n == 0 else [""] * (1 + len(names))
        own = [False, *(label == true[n] for label in range(len(names)))]
        images = zip([image, *shown], headings, own, strict=True)
        rows.append([Tile(each, heading, framed=framed) for each, heading, framed in images])
    told = f"{caption}\nLeft: the test image and its class. Framed: the image's own label."
    image_grid(rows, [names[label] for label in true], path, title, told, gaps=(8, 8))


def draw_samples(samples, names, path, title, caption=""):
    """Draws new images `(classes, per_class, h, w, c)`, a row a class; other arguments as for `draw_wrong_labels`."""
    image_grid([list(map(Tile, row)) for row in samples], names, path, title, caption)


def draw_reconstructions(inputs, outputs, labels, names, path, title, caption=""):
    """Draws test images, each above its reconstruction, ten across, sorted by class.

    Args:
        inputs, outputs: `(n, h, w, c)`.
        labels: `(n,)`.
        names, path, title, caption: as for `draw_wrong_labels`.
    """
    pairs = np.concatenate([inputs, np.ones_like(inputs[:, :1]), outputs], axis=1)
    tiles = [Tile(pairs[n], names[labels[n]]) for n in np.argsort(labels, kind="stable")]
    rows = [tiles[n : n + 10] for n in range(0, len(tiles), 10)]
    image_grid(rows, [""] * len(rows), path, title, f"{caption}\nAbove: the input. Below: the output.", side=200)
