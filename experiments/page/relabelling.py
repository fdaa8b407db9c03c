"""One image under every label of a dataset, as an included conditional VAE shows it, and what the judges read."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.special import softmax

from tfcvae import pretrained

SAMPLES = Path(__file__).parent / "samples"
"""Holds `<dataset>.png`: test images side by side, a column for each class; `maintenance/page_samples.py` writes it."""

MOVED = 6
"""Latents that have a slider."""

DIGIT_SIDE = 20 / 28
"""The longer side of MNIST's digits, of their images' sides."""


class Relabeller:
    """An included conditional VAE, one of `tfcvae.pretrained.included()`, with the judges that read its outputs.

    Attributes:
        class_names, shape: of the images.
        judges: `{name: keras.Model}`.
        images, labels: test images `(n, *shape)` in [0, 1], and their labels `(n,)`.
        moved: indices of the latents that differ most between the test images, in the flattened latent.
    """

    def __init__(self, name):
        self.name, self.record = name, pretrained.read_record(name)
        self.model = pretrained.load_model(name)
        self.judges = pretrained.load_judges(name)
        self.class_names, self.shape = self.record["class_names"], self.model.image_shape
        self.images, self.labels = read_samples(SAMPLES / f"{name}.png", self.shape)
        means, _ = self.model.encode(self.images, self.labels)
        self.moved = np.argsort(-means.reshape(len(means), -1).var(axis=0))[:MOVED].tolist()

    def describe(self):
        """One line about the model, from its record."""
        test = self.record["test"]["relabel"]
        obeyed = test["readings"]["a"]["accuracy"]
        return (
            f"`{self.record['variant']}`, trained on {self.name}. Over {test['images']:,} test images under wrong "
            f"labels, {obeyed:.1%} of the outputs are read as the label asked for."
        )

    def under_every_label(self, image, true=None, moves=()):
        """Sends an image in under each label.

        Args:
            image: `shape`, in [0, 1].
            true: the label that the encoder is told; None for the label that the image is sent in with.
            moves: what is added to the latents `moved`, in standard deviations of the prior.

        Returns:
            `(classes, *shape)` in [0, 1].
        """
        labels = np.arange(len(self.class_names))
        told = labels if true is None else np.full_like(labels, true)
        latents, _ = self.model.encode(np.repeat(image[None], len(labels), axis=0), told)
        if any(moves):
            deviations = np.exp(self.model.latent_prior(labels)[1] / 2)
            flat, deviations = latents.reshape(len(labels), -1), deviations.reshape(len(labels), -1)
            chosen = self.moved[: len(moves)]
            flat[:, chosen] += np.asarray(moves, "float32") * deviations[:, chosen]
            latents = flat.reshape(latents.shape)
        return self.model.decode(latents, labels)

    def read(self, images):
        """What each judge reads: `{name: probabilities (n, classes)}`."""
        return {name: softmax(judge.predict_on_batch(images), axis=1) for name, judge in self.judges.items()}


@cache
def load(name):
    """The `Relabeller` of a dataset, loaded once."""
    return Relabeller(name)


def write_samples(path, images, labels, rows=5):
    """Writes the first `rows` images of each class as a sheet, a column for each class."""
    height, width, channels = images.shape[1:]
    columns = [np.concatenate(images[labels == label][:rows]) for label in np.unique(labels)]
    sheet = np.round(np.concatenate(columns, axis=1) * 255).astype(np.uint8)
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(path, optimize=True)


def read_samples(path, shape):
    """Images and labels of a sheet, row by row: float32 `(n, *shape)` in [0, 1] and int `(n,)`."""
    height, width, channels = shape
    with Image.open(path) as image:
        sheet = np.asarray(image.convert("L" if channels == 1 else "RGB"), "float32") / 255
    rows, columns = sheet.shape[0] // height, sheet.shape[1] // width
    tiles = sheet.reshape(rows, height, columns, width, channels).swapaxes(1, 2)
    return tiles.reshape(-1, *shape), np.tile(np.arange(columns), rows)


def tile_side(shape):
    """Pixels that an image takes in `sheet`, in either direction."""
    return shape[0] * 2 + 4


def sheet(images, columns):
    """Images side by side, twice as large, uint8 RGB."""
    tiles = np.stack(
        [np.pad(enlarge(image, 2 * len(image)), ((2, 2), (2, 2), (0, 0)), constant_values=255) for image in images]
    )
    rows = [np.concatenate(tiles[n : n + columns], axis=1) for n in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def as_input(picture, shape):
    """A drawing or photo as an image that a model takes: float32 `shape` in [0, 1]; None for a blank picture.

    Of greyscale data, whose images are bright strokes on black, the ink is treated as MNIST's was: cut out, its longer
    side scaled to 20 of 28 pixels, its centre of mass in the middle. In colour, the middle square is scaled.

    Args:
        picture: uint8 `(height, width, 3)`, or with transparency `(height, width, 4)`, which lies on white paper.
    """
    paper = Image.new("RGBA", picture.shape[1::-1], "white")
    flat = Image.alpha_composite(paper, Image.fromarray(picture).convert("RGBA")).convert(
        "L" if shape[2] == 1 else "RGB"
    )
    if not np.ptp(np.asarray(flat)):
        return None
    if shape[2] == 1:
        return _digit(255 - np.asarray(flat), shape)
    side = min(flat.size)
    left, top = (flat.width - side) // 2, (flat.height - side) // 2
    small = flat.resize(shape[1::-1], Image.Resampling.BOX, (left, top, left + side, top + side))
    return np.asarray(small, "float32") / 255


def _digit(ink, shape):
    rows, columns = (np.flatnonzero(ink.max(axis=axis) > 32) for axis in (1, 0))
    if not len(rows):
        return None
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = DIGIT_SIDE * min(shape[:2]) / max(ink.shape)
    size = [max(1, round(side * scale)) for side in ink.shape]
    ink = np.asarray(Image.fromarray(ink).resize(size[::-1], Image.Resampling.BOX), "float32") / 255
    canvas = np.zeros(shape, "float32")
    corner = []
    for axis, side in enumerate(size):
        weights = ink.sum(axis=1 - axis)
        centre = (weights * (np.arange(side) + 0.5)).sum() / weights.sum()
        corner.append(int(np.clip(round(shape[axis] / 2 - centre), 0, shape[axis] - side)))
    canvas[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1], 0] = ink
    return canvas


def enlarge(image, side=224):
    """An image in [0, 1] as uint8 RGB, each pixel a square, its sides about `side` pixels."""
    factor = max(1, round(side / image.shape[0]))
    pixels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels.repeat(factor, 0).repeat(factor, 1).repeat(3 // pixels.shape[2], 2)
