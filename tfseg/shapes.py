"""Procedural stand-in for Oxford-IIIT Pet: drawn animals with trimaps, for runs without a network.

Examples carry the feature names of TFDS's `oxford_iiit_pet`, so they go down the same path. Animal and background take
their colours from one distribution; what tells them apart is texture (fur against planks, grass, clouds), shading and
outline. An animal is a smooth union of tapered capsules, in units of about half its length (x right, y down).
"""

import math
from functools import lru_cache

import numpy as np
from scipy import ndimage

from tfseg.shapes_anatomy import POSES, SPECIES, animal, signed_distance

SPLITS = ("train", "test")
COATS = ("plain", "patches", "stripes", "spots")
LABELS = len(SPECIES) * len(POSES) * len(COATS)
SIDES = (96, 200)
"""Smallest and largest side of an image, in pixels."""


def draw(seed, index, split="train"):
    """Draws one example; the same arguments give the same pixels.

    Args:
        seed: non-negative int; another seed is another dataset.
        index: non-negative int, position within the split.
        split: `"train"` or `"test"`; no image occurs in both.

    Returns:
        Dictionary with `image` uint8 `(h, w, 3)`, `segmentation_mask` uint8 `(h, w, 1)` (1 = pet, 2 = background,
        3 = border), `label` int64 in [0, `LABELS`), `species` int64 (0 = cat, 1 = dog) and `file_name` bytes.

    Raises:
        ValueError: for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"Unknown split. Choose one of: {', '.join(SPLITS)}. Received: {split!r}")
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    shape = tuple(int(side) for side in rng.integers(SIDES[0], SIDES[1] + 1, 2))
    species, pose, coat = (int(rng.integers(len(names))) for names in (SPECIES, POSES, COATS))
    capsules, face = animal(rng, SPECIES[species], POSES[pose])
    distance, face_distance, scale = _place(rng, capsules, face, shape)
    image = _background(rng, shape)
    image *= 1 - 0.25 * rng.random() * np.exp(-np.maximum(distance, 0) / (0.12 * scale))  # shadow
    fur = _fur(rng, distance, scale, COATS[coat])
    fur = _blend(fur, np.float32(0.06), np.clip(0.5 - face_distance, 0, 1))
    image = _blend(image, fur, np.clip(0.5 - distance, 0, 1))
    image += rng.uniform(0.01, 0.05) * rng.standard_normal(shape, np.float32)  # the camera's noise
    return {
        "image": np.ascontiguousarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)),
        "segmentation_mask": _trimap(distance < 0)[..., None],
        "label": np.int64((species * len(POSES) + pose) * len(COATS) + coat),
        "species": np.int64(species),
        "file_name": f"shapes_{split}_{index:05d}.png".encode(),
    }


def examples(split, count, seed=0):
    """The first `count` examples of a split, drawn while they are read.

    Args:
        split: `"train"` or `"test"`.
        count: number of examples.
        seed: non-negative int; another seed is another dataset.

    Returns:
        `tf.data.Dataset` of the dictionaries of `draw`, in a fixed order, of known cardinality.

    Raises:
        ValueError: for an unknown split.
    """
    import tensorflow as tf

    if split not in SPLITS:
        raise ValueError(f"Unknown split. Choose one of: {', '.join(SPLITS)}. Received: {split!r}")
    signature = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "segmentation_mask": tf.TensorSpec((None, None, 1), tf.uint8),
        "label": tf.TensorSpec((), tf.int64),
        "species": tf.TensorSpec((), tf.int64),
        "file_name": tf.TensorSpec((), tf.string),
    }
    dataset = tf.data.Dataset.from_generator(
        lambda: (_kept(seed, index, split) for index in range(count)), output_signature=signature
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(count))


@lru_cache(1024)
def _kept(*arguments):
    """`draw`, whose examples a run reads a dozen times; 100 kB each."""
    return draw(*arguments)


def _place(rng, capsules, face, shape):
    """Scales the animal to a random share of the image and measures signed distances to it and its face, in pixels."""
    unit = np.linspace(-1.6, 1.6, 40, dtype=np.float32)
    area = np.mean(signed_distance(capsules, unit, unit) < 0) * 3.2**2
    scale = math.sqrt(rng.uniform(0.14, 0.66) * shape[0] * shape[1] / area)
    scale = min(scale, 0.75 * shape[0], 0.53 * shape[1])  # most of the animal in the picture
    centre = [side * rng.uniform(0.42, 0.58) for side in shape]
    step = 4  # distances are smooth: measure every fourth pixel, interpolate the rest
    grid = [
        (np.arange(0, side + step, step, dtype=np.float32) - c) / scale for side, c in zip(shape, centre, strict=True)
    ]
    distance = scale * _upsample(signed_distance(capsules, *grid), shape, step, smooth=False)
    distance += 0.015 * scale * _noise(rng, shape, 0.12 * scale) + 0.4 * rng.standard_normal(shape, np.float32)
    face_distance = scale * _upsample(signed_distance(face, *grid), shape, step, smooth=False)
    return distance, face_distance, scale


def _trimap(foreground):
    """Pet (1) and background (2) set apart by a ring (3) one or two pixels wide on each side of the outline."""
    width = 1 if min(foreground.shape) < 140 else 2
    foreground = ndimage.binary_opening(foreground)
    inside = ndimage.binary_erosion(foreground, iterations=width, border_value=1)
    around = ndimage.binary_dilation(foreground, iterations=width)
    return np.where(inside, 1, np.where(around, 3, 2)).astype(np.uint8)


def _fur(rng, distance, scale, coat):
    """Animal texture `(3, h, w)`: a coat of one or two colours, fine strands of hair, darker towards the outline."""
    shape = distance.shape
    base, other = _colour(rng), _colour(rng)
    if coat == "plain":
        pattern = 0.3 * _sigmoid(_noise(rng, shape, 0.5 * scale))
    elif coat == "patches":
        pattern = _sigmoid(8 * _noise(rng, shape, 0.3 * scale))
    elif coat == "stripes":
        pattern = _sigmoid(
            4 * np.sin(_ramp(rng, shape, 0, np.pi) / (0.04 * scale) + 1.5 * _noise(rng, shape, 0.3 * scale))
        )
    else:
        pattern = _sigmoid(10 * (_noise(rng, shape, 0.09 * scale) - 0.8))
    fur = _blend(base, other, pattern)
    fur *= 1 + 0.16 * _strands(rng, shape, rng.uniform(0, np.pi), 5)
    light = np.minimum(-distance / (0.3 * scale), 1) + 0.3 * _noise(rng, shape, 0.3 * scale)
    return fur * (0.82 + 0.22 * light)


def _background(rng, shape):
    """Wall and floor, each with a texture of its own, and up to three plain objects, `(3, h, w)`."""
    image = _surface(rng, shape)
    if rng.random() < 0.6:
        floor = np.clip(_ramp(rng, shape, np.pi / 2, 0.1) - shape[0] * rng.uniform(0.3, 0.8), 0, 1)
        image = _blend(image, _surface(rng, shape), floor)
    rows, columns = _pixels(shape)
    for _ in range(rng.integers(4)):
        y, x = ((axis - rng.uniform(0, axis.size)) / rng.uniform(4, 4 + axis.size / 4) for axis in (rows, columns))
        inside = (y * y + x * x < 1) if rng.random() < 0.5 else (abs(y) < 1) & (abs(x) < 1)  # ellipse or box
        shade = 1 + 0.15 * _noise(rng, shape, 40)
        image = _blend(image, _colour(rng) * shade, inside)
    return image


def _surface(rng, shape):
    """One background texture `(3, h, w)`: clouds, planks, grass or tiles."""
    base, other = _colour(rng), _colour(rng)
    kind = rng.integers(4)
    cell = rng.uniform(0.1, 0.25) * max(shape)
    if kind == 0:
        pattern = _sigmoid(2 * _noise(rng, shape, cell) + 0.8 * _noise(rng, shape, cell / 4))
    elif kind == 1:
        across = _ramp(rng, shape, 0, 0.2) / cell
        pattern = 0.5 * (across % 1 < 0.08) + 0.5 * _sigmoid(np.sin(across // 1 * 7) + 0.7 * _noise(rng, shape, cell))
    elif kind == 2:
        pattern = _sigmoid(_strands(rng, shape, rng.normal(np.pi / 2, 0.2), 15) + _noise(rng, shape, cell))
    else:
        tiles = (_ramp(rng, shape, 0, 0.1) // cell + _ramp(rng, shape, np.pi / 2, 0.1) // cell) % 2
        pattern = 0.7 * tiles + 0.15 * _noise(rng, shape, cell / 6)
    light = 1 + 0.2 * _noise(rng, shape, max(shape))
    return _blend(base, other, pattern) * light


def _colour(rng):
    """A random colour `(3, 1, 1)`, muted and rather warm, about [0, 1]."""
    warm, green = rng.normal(0.1, 0.11), rng.normal(0, 0.045)
    tint = np.array([warm - green, 2 * green, -warm - green], np.float32)
    return rng.uniform(0.2, 0.85) * (1 + tint[:, None, None])


def _pixels(shape):
    """Row and column coordinates, float32 `(h, 1)` and `(1, w)`."""
    return np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)[None, :]


def _ramp(rng, shape, angle, spread):
    """Pixel coordinate `(h, w)` along a direction within `spread` radians of `angle` (0 = right, pi / 2 = down)."""
    angle += rng.uniform(-spread, spread)
    rows, columns = _pixels(shape)
    return math.cos(angle) * columns + math.sin(angle) * rows


def _noise(rng, shape, cell):
    """Smooth noise `(h, w)` of about unit deviation whose features are `cell` pixels wide."""
    grid = rng.standard_normal([int(side / cell) + 2 for side in shape], np.float32)
    return 1.4 * _upsample(grid, shape, cell, smooth=True)


def _strands(rng, shape, angle, length):
    """White noise smeared along a direction, `(h, w)` of unit deviation."""
    noise = rng.standard_normal(shape, np.float32)
    total = np.zeros_like(noise)
    for offset in range(-(length // 2), length - length // 2):
        total += np.roll(noise, (round(math.sin(angle) * offset), round(math.cos(angle) * offset)), (0, 1))
    return total / math.sqrt(length)


def _upsample(grid, shape, cell, smooth):
    """Values at knots `cell` pixels apart to every pixel, interpolated linearly or with a smooth step."""
    for axis, side in enumerate(shape):
        position = np.arange(side, dtype=np.float32) / cell
        knot = position.astype(int)
        t = np.expand_dims(position - knot, 1 - axis).astype(np.float32)
        t = t * t * (3 - 2 * t) if smooth else t
        low, high = grid.take(knot, axis), grid.take(knot + 1, axis)
        grid = low + t * (high - low)
    return grid


def _blend(first, second, weight):
    """`first` where `weight` `(h, w)` is 0, `second` where it is 1; colours or images."""
    return first + np.asarray(weight, np.float32) * (second - first)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))
