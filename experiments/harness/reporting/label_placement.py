"""Names beside the points of a plot, where they cover nothing, and in the same places each time."""

import numpy as np

DOT = 7  # half the side of the square that a point takes, in pixels


def place_labels(axis, points, texts, colours=None, avoid=(), weights=None):
    """Writes a label beside each point of an axis where it covers no point and no other label, as near as possible.

    Args:
        axis: of a finished figure in its final layout and limits.
        points: pairs in data coordinates.
        texts: one a point.
        colours: edge colours of boxes to put the labels in; none by default.
        avoid: further points not to cover.
        weights: font weights; normal by default.

    Returns:
        The labels, `matplotlib.text.Annotation`s.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    figure = axis.figure
    renderer, scale = FigureCanvasAgg(figure).get_renderer(), figure.dpi / 72
    figure.draw_without_rendering()
    dots = axis.transData.transform([*points, *avoid])
    taken, labels = [(*dot - DOT, *dot + DOT) for dot in dots], []
    frame = axis.get_window_extent(renderer).extents
    for n, text in enumerate(texts):
        box = {"boxstyle": "round,pad=0.15", "fc": "white", "alpha": 0.85, "ec": colours[n]} if colours else None
        style = {"ha": "center", "va": "center", "fontsize": 9, "weight": weights[n] if weights else "normal"}
        line = {"arrowstyle": "-", "color": "#555555", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 4}
        label = axis.annotate(
            text, points[n], (0, 0), textcoords="offset points", bbox=box, zorder=4, arrowprops=line, **style
        )
        half = np.array(Text.get_window_extent(label, renderer).size) / 2 + (4 if box else 1)
        rectangles = _candidates(dots[n], half)
        offset, rectangle = min(rectangles, key=lambda candidate: _faults(candidate[1], taken, frame))
        label.set_position(tuple(offset / scale))
        label.set_in_layout(False)  # the layout is final
        taken.append(rectangle)
        labels.append(label)
    return labels


def _candidates(dot, half):
    """Offsets of a label's centre from its point and the rectangles that it would take, in pixels, nearest first."""
    for distance in (10, 18, 30, 45, 65, 90, 120, 160):
        for angle in sorted(np.arange(-8, 8), key=lambda eighth: (eighth % 4, abs(eighth))):  # right, up or left first
            direction = np.round([np.cos(angle * np.pi / 8), np.sin(angle * np.pi / 8)], 3)
            offset = direction * distance + np.sign(direction) * half
            yield offset, (*dot + offset - half, *dot + offset + half)


def _faults(rectangle, taken, frame):
    """How many rectangles one covers, one more if it leaves the frame."""
    left, low, right, high = rectangle
    covered = sum(left < r and x0 < right and low < t and y0 < high for x0, y0, r, t in taken)
    return covered + (left < frame[0] or low < frame[1] or right > frame[2] or high > frame[3])
