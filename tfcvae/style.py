"""What a person calls the style of a digit, as numbers: how far it leans and how thick its strokes are.

Moments of the image; used to ask whether an image that was sent in under a wrong label keeps its style.
"""

import numpy as np


def slant(images):
    """How far the strokes lean: the horizontal shift for each pixel further up, from central second moments.

    `-mu_xy / mu_yy`, with y downwards: 0 for upright strokes, 1 for strokes at 45 degrees to the right.

    Args:
        images: NumPy `(n, height, width, 1)` in [0, 1], bright strokes on black.

    Returns:
        Float64 `(n,)`; 0 for an image without height.
    """
    mass = np.asarray(images, "float64")[..., 0]
    total = np.maximum(mass.sum(axis=(1, 2)), 1e-9)
    y, x = np.mgrid[: mass.shape[1], : mass.shape[2]]
    dy = y - (mass * y).sum(axis=(1, 2), keepdims=True) / total[:, None, None]
    dx = x - (mass * x).sum(axis=(1, 2), keepdims=True) / total[:, None, None]
    return -(mass * dx * dy).sum(axis=(1, 2)) / np.maximum((mass * dy * dy).sum(axis=(1, 2)), 1e-9)


def stroke_thickness(images):
    """How thick the strokes are, in pixels: twice the bright area over the length of its outline.

    A stroke of length l and thickness t has an area of l t and an outline of about 2 l. The outline is the sum of the
    gradient's length over the image.

    Args:
        images: as for `slant`.

    Returns:
        Float64 `(n,)`; 0 for a black image.
    """
    mass = np.pad(np.asarray(images, "float64")[..., 0], [(0, 0), (1, 1), (1, 1)])
    across, down = (np.diff(mass, axis=axis) for axis in (2, 1))
    outline = np.hypot(across[:, :-1], down[:, :, :-1]).sum(axis=(1, 2))
    return 2 * mass.sum(axis=(1, 2)) / np.maximum(outline, 1e-9) * (outline > 0)


def kept(before, after, true, asked):
    """How well a measure of style, `slant` or `stroke_thickness`, passes from images to what they became under other
    labels.

    Pearson's correlation over all pairs, after each class's own mean is taken away (a one leans otherwise than a seven,
    whoever writes it): from inputs by their class, from outputs by the class asked for.

    Args:
        before, after: the measure of each image and of its output, `(n,)`.
        true, asked: integer labels `(n,)`.

    Returns:
        Float in [-1, 1]; 0 where one of them does not vary.
    """
    a, b = _centred(before, true), _centred(after, asked)
    size = np.sqrt(np.square(a).sum() * np.square(b).sum())
    return float((a * b).sum() / size) if size > 0 else 0.0


def _centred(values, labels):
    means = np.bincount(labels, values) / np.maximum(np.bincount(labels), 1)
    return values - means[labels]
