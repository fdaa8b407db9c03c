"""Sheets of small images, laid out pixel by pixel: each image pixel becomes a square of whole pixels, so nothing blurs,
as it would in axes that Matplotlib lays out.

Matplotlib is imported on first use, as in `experiments.harness.reporting.figures`.
"""

from functools import cache

import numpy as np

from experiments.harness.reporting.figures import DPI, new_figure, save_png

MARGIN, GAP, WIDE_GAP, NARROWEST = 16, 5, 22, 480  # in pixels
SIDE = 100  # of an image on a sheet: the largest multiple of its own side up to this, in pixels
TITLE, TEXT, LINE = 12, 9.5, 1.45  # font sizes in points, line height in font sizes
FRAME, FRAME_COLOUR = 3, "#E69F00"


class Sheet:
    """A blank sheet to put images and text on; coordinates are in pixels from the content's upper left corner.

    Args:
        width, height: of the content in pixels; margin, title and caption come on top of it, and room for them where
            the content is narrow.
        title: a line or more above the content.
        caption: below the content; wrapped.
    """

    def __init__(self, width, height, title="", caption=""):
        width = max(width, NARROWEST)
        titles, captions = wrap(title, width, TITLE, "bold"), wrap(caption, width, TEXT)
        above = _text_height(titles, TITLE) + 8 * bool(titles)
        below = _text_height(captions, TEXT) + 12 * bool(captions)
        self.height = height + above + below + 2 * MARGIN
        # A tenth of a pixel keeps the size from being rounded down to one pixel less.
        self.figure = new_figure((width + 2 * MARGIN + 0.1) / DPI, (self.height + 0.1) / DPI)
        self.figure.set_layout_engine("none")
        self._top = MARGIN
        self._lines(titles, TITLE, "bold")
        self._top = MARGIN + above + height + 12
        self._lines(captions, TEXT, "normal")
        self._top = MARGIN + above

    def _lines(self, lines, size, weight):
        for number, line in enumerate(lines):
            y = round((number + 0.5) * _text_height([line], size))
            self.text(0, y, line, size=size, weight=weight, ha="left")

    def image(self, image, x, y, scale=1):
        """Puts an image, float `(h, w, 1 or 3)` in [0, 1], `scale` times as large, its upper left corner at (x, y)."""
        pixels = np.round(np.clip(np.asarray(image, "float32"), 0, 1) * 255).astype("uint8")
        pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).repeat(scale, axis=0).repeat(scale, axis=1)
        bottom = self.height - self._top - y - len(pixels)
        self.figure.figimage(pixels, MARGIN + x, bottom, origin="upper")

    def fill(self, x, y, width, height, colour):
        """Fills a rectangle; an image put there later covers it."""
        from matplotlib.colors import to_rgb

        self.image(np.broadcast_to(to_rgb(colour), (height, width, 3)), x, y)

    def text(self, x, y, text, size=TEXT, max_width=None, ha="center", va="center", **style):
        """Writes a line at (x, y), smaller where it would be wider than `max_width` pixels; style as matplotlib's."""
        from matplotlib.transforms import IdentityTransform

        if max_width:
            size *= min(1.0, max_width / max(1.0, text_width(text, size, style.get("weight", "normal"))))
        place = MARGIN + x, self.height - self._top - y
        style |= {"fontsize": size, "ha": ha, "va": va, "parse_math": False}
        self.figure.text(*place, text, transform=IdentityTransform(), **style)

    def save(self, path):
        """Writes the sheet as PNG, atomically, of at most 600 kB."""
        save_png(self.figure, path)


def whole_scale(side, wanted=SIDE):
    """How many times as large an image of this side is drawn to have `wanted` pixels: a whole number, at least 1."""
    return max(1, wanted // side)


def image_grid(rows, headings, row_titles, path, title="", caption="", wide_columns=(), wide_rows=(), framed=()):
    """Draws a grid of small images of one size.

    Args:
        rows: lists of images, float `(h, w, 1 or 3)` in [0, 1]; None leaves a gap.
        headings: `{row number: titles}`: what to write above the images of a row, from the left.
        row_titles: one a row.
        path: PNG to write.
        title, caption: above and below the grid.
        wide_columns, wide_rows: numbers of the columns and rows that a wide gap follows.
        framed: pairs (row, column) of the images to put a frame around.
    """
    height, width = next(image.shape[:2] for row in rows for image in row if image is not None)
    scale = whole_scale(max(height, width))
    height, width, line = scale * height, scale * width, _text_height([""], TEXT) + 4
    left = round(max(text_width(text, TEXT) for text in row_titles)) + 10
    columns = _places([0] * len(rows[0]), width, left, wide_columns)
    lines = _places([line if row in headings else 0 for row in range(len(rows))], height, 0, wide_rows)
    sheet = Sheet(columns[-1] + width, lines[-1] + height, title, caption)
    for r, (y, row, row_title) in enumerate(zip(lines, rows, row_titles, strict=True)):
        sheet.text(left - 10, y + height / 2, row_title, ha="right")
        for x, text in zip(columns, headings.get(r, []), strict=False):
            sheet.text(x + width / 2, y - line / 2 - 2, text, max_width=width)
        for c, (x, image) in enumerate(zip(columns, row, strict=True)):
            if (r, c) in framed:
                sheet.fill(x - FRAME, y - FRAME, width + 2 * FRAME, height + 2 * FRAME, FRAME_COLOUR)
            if image is not None:
                sheet.image(image, x, y, scale)
    sheet.save(path)


def _places(above, size, start, wide):
    """Where things of a size begin, each after as much room as `above` says."""
    places = []
    for number, room in enumerate(above):
        places.append(start + room)
        start = places[-1] + size + (WIDE_GAP if number in wide else GAP)
    return places


def text_width(text, size, weight="normal"):
    """Width of a line in pixels as it will be drawn, at a font size in points."""
    from matplotlib.font_manager import FontProperties

    width, _, _ = _renderer().get_text_width_height_descent(text, FontProperties(size=size, weight=weight), False)
    return width


@cache
def _renderer():
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, DPI)


def wrap(text, width, size, weight="normal"):
    """The lines of a text at a font size, none wider than `width` pixels, unless a single word is."""
    lines = []
    for part in text.split("\n"):
        line = ""
        for word in part.split():
            longer = f"{line} {word}".strip()
            if line and text_width(longer, size, weight) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines if text else []


def _text_height(lines, size):
    return round(len(lines) * size * LINE * DPI / 72)
