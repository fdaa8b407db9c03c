"""Procedural stand-in for MNIST and CIFAR-10: digits in the fonts that matplotlib ships, for runs without a network.

Examples carry the feature names of TFDS's `mnist`, so they go down the same path.
"""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SPLITS = ("train", "test")
CLASSES = 10
SHAPES = {"grey": (28, 28, 1), "colour": (32, 32, 3)}
STYLES = ("", "-Bold", "-Oblique", "-BoldOblique")
FONTS = (
    *(f"DejaVuSans{style}" for style in STYLES),
    *(f"DejaVuSansMono{style}" for style in STYLES),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)


def draw(seed, index, split="train", kind="grey"):
    """Draws one example; the same arguments give the same pixels.

    Args:
        seed: non-negative int; another seed is another dataset.
        index: non-negative int, position within the split.
        split: `"train"` or `"test"`: different random streams.
        kind: `"grey"` for a white digit on black, `"colour"` for two colours over a gradient.

    Returns:
        Dictionary with `image`, uint8 of the shape `SHAPES[kind]`, and `label`, int64 in [0, 10): `index % 10`.

    Raises:
        ValueError: for an unknown split or kind.
    """
    _check(split, kind)
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    side, label = SHAPES[kind][0], index % CLASSES
    digit = _stencil(FONTS[rng.integers(len(FONTS))], label, 2 * side)
    affine = _random_affine(rng, 2 * side)
    digit = digit.transform(digit.size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    stroke = np.asarray(digit.reduce(2), "float32")[..., None] / 255  # drawn at twice the size, for smooth edges
    image = stroke if kind == "grey" else _coloured(rng, stroke)
    return {"image": (image * 255 + 0.5).astype("uint8"), "label": np.int64(label)}


def examples(split, count, seed=0, kind="grey"):
    """The first `count` examples of a split, drawn while they are read.

    Args:
        split, seed, kind: as for `draw`.
        count: number of examples.

    Returns:
        `tf.data.Dataset` of the dictionaries of `draw`, in a fixed order, of known cardinality.

    Raises:
        ValueError: for an unknown split or kind.
    """
    import tensorflow as tf

    _check(split, kind)
    signature = {"image": tf.TensorSpec(SHAPES[kind], tf.uint8), "label": tf.TensorSpec((), tf.int64)}
    dataset = tf.data.Dataset.from_generator(
        lambda: (draw(seed, index, split, kind) for index in range(count)), output_signature=signature
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(count))


def _check(split, kind):
    if split not in SPLITS:
        raise ValueError(f"Unknown split. Choose one of: {', '.join(SPLITS)}. Received: {split!r}")
    if kind not in SHAPES:
        raise ValueError(f"Unknown kind. Choose one of: {', '.join(SHAPES)}. Received: {kind!r}")


@cache
def _stencil(font, digit, side):
    """A digit in the middle of a black square, 0.68 of its side high."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    canvas = Image.new("L", (4 * side, 4 * side))
    ImageDraw.Draw(canvas).text((side, side), str(digit), fill=255, font=ImageFont.truetype(path, 2 * side))
    ink = canvas.crop(canvas.getbbox())
    height = round(0.68 * side)
    ink = ink.resize((max(1, round(ink.width * height / ink.height)), height), Image.Resampling.BOX)
    square = Image.new("L", (side, side))
    square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    return square


def _random_affine(rng, side):
    """PIL's coefficients (a, b, c, d, e, f), from output to input pixels, of a random turn, shear, scale and shift."""
    turn, shear = rng.uniform(-0.25, 0.25), rng.uniform(-0.2, 0.2)
    scale = rng.uniform(0.85, 1.3, 2)  # of the input against the output: above 1 the digit shrinks
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.diag(scale) @ [[1, shear], [0, 1]] @ [[cos, sin], [-sin, cos]]
    centre = np.array([side / 2, side / 2])
    offset = centre - matrix @ (centre + rng.uniform(-0.09, 0.09, 2) * side)
    return (*matrix[0], offset[0], *matrix[1], offset[1])


def _coloured(rng, stroke):
    """A bright digit over a dark gradient, or the negative, with a little noise: `(side, side, 3)` in [0, 1]."""
    side = len(stroke)
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:side, :side] / (side - 1) - 0.5
    ramp = (0.5 + 0.7 * (rows * np.sin(angle) + columns * np.cos(angle)))[..., None]
    first, second = rng.uniform(0, 0.5, (2, 3))
    background = first + (second - first) * ramp
    image = background + (rng.uniform(0.65, 1, 3) - background) * stroke
    image += 0.02 * rng.standard_normal((side, side, 3))
    image = np.clip(image, 0, 1)
    return 1 - image if rng.random() < 0.5 else image
