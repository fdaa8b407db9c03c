"""Mask files as class ids: greyscale of any depth, palettes and colours. Needs Pillow and NumPy alone."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from tfseg.classes import IGNORE, Classes
from tfseg.photos import PhotoError, opened

BLURRED = 16
"""More values than this, from 0 to 255 and without names, are taken for shades of a blurred mask."""

COLOUR = 2**24
"""A colour's value is this plus its 24 bits, red highest; the values of greyscale and of palettes are those stored."""


def read_mask(path):
    """Reads what a mask file stores.

    Args:
        path: a file that Pillow opens: black and white (0, 255), greyscale of 8, 16 or 32 bits, a palette (the index of
            its colour), or colours.

    Returns:
        `(values, palette)`: int32 `(height, width)`, and of a palette its colours `(n, 3)`, else None. A colour image
        that is grey throughout has the values of greyscale.

    Raises:
        PhotoError: for a file that can't be read, for floats, and for a JPEG of more than two values: it blurs them.
    """
    with opened(path) as image:
        if image.mode == "F":
            raise PhotoError(f"{path} holds floats; save masks as whole numbers")
        palette = None
        if image.mode in ("P", "PA"):
            palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
            values = np.asarray(image.getchannel(0), np.int32)
        elif image.mode == "1":
            values = np.asarray(image, np.int32) * 255
        elif image.mode in ("L", "LA", "I") or image.mode.startswith("I;16"):
            values = np.asarray(image, np.int32)
            values = values[..., 0] if image.mode == "LA" else values
        else:
            values = _colours(np.asarray(image.convert("RGB"), np.int32))
        if image.format == "JPEG" and len(found := np.unique(values)) > 2:
            raise PhotoError(f"{path} is a JPEG, which blurs masks ({len(found)} values found); save masks as PNG")
    return values, palette


def _colours(rgb):
    if (rgb == rgb[..., :1]).all():
        return rgb[..., 0]
    return COLOUR + (rgb[..., 0] << 16) + (rgb[..., 1] << 8) + rgb[..., 2]


class UnknownValue(ValueError):
    """A mask has a value that is no class.

    Attributes:
        value: that value, in masks in colour a colour.
    """

    def __init__(self, value, message):
        super().__init__(message)
        self.value = value


@dataclass(frozen=True)
class Coding:
    """Which value of a mask is which class.

    Attributes:
        classes: a `tfseg.classes.Classes`.
        values: the value of each class, by class id.
        ignore: the value of pixels to be ignored, or None.
        in_colour: whether the values are colours.
    """

    classes: Classes
    values: tuple
    ignore: int | None = IGNORE
    in_colour: bool = False

    def ids(self, values):
        """Class ids of a mask, uint8 of the same shape, `IGNORE` where the pixel is to be ignored.

        Raises:
            ValueError: for another value.
        """
        values = np.asarray(values, np.int64)
        if self.in_colour:
            values = as_colours(values)
        order = np.argsort(self.values)
        ordered = np.array(self.values)[order]
        places = np.searchsorted(ordered, values).clip(max=len(ordered) - 1)
        ids = order[places].astype(np.uint8)
        strange = ordered[places] != values
        if self.ignore is not None:
            ids[strange & (values == self.ignore)] = IGNORE
            strange &= values != self.ignore
        if strange.any():
            raise ValueError(f"the value {told(values[strange][0])}, which is no class: {self.classes}")
        return ids


def as_colours(values):
    """Values of masks of which some are colours: a grey that was read as greyscale is a colour too."""
    return np.where(values < COLOUR, COLOUR + values * 0x010101, values)


def told(value):
    """A value as a person writes it: 7, or #80c000."""
    return f"#{value - COLOUR:06x}" if value >= COLOUR else str(value)


def find_coding(values, named=(), palette=None, ignore=IGNORE):
    """Decides what the values of all masks of a dataset mean.

    Masks of 0 and 255 alone have a background and an object. In others `ignore` marks pixels to leave out, and the rest
    are classes, in the order of their values. Masks in colour have nothing to leave out unless `ignore` is a colour.

    Args:
        values: all values that occur, as of `read_mask`.
        named: `(name, colour)` by class id, where names are known; a colour is a value as of `read_mask`, or None. Then
            a class has its place in this list as its value, or in masks in colour its colour. One whose value is
            `ignore` is no class. Of masks of 0 and 255, one name is the object's.
        palette: colours of the masks' palette, `(n, 3)`, or None.
        ignore: see above; None for no such value.

    Returns:
        A `Coding`.

    Raises:
        UnknownValue: for a value that is of none of the named classes.
        ValueError: where there are fewer than two classes, or more than 255, for masks in colour without colours, a
            value to ignore that such masks can't have, and values that blurred masks have.
    """
    values = np.unique(np.asarray(values, np.int64))
    in_colour = bool((values >= COLOUR).any())
    if in_colour:
        values, ignore = np.unique(as_colours(values)), None if ignore == IGNORE else ignore
        if ignore is not None and ignore < COLOUR:
            raise ValueError(f"Masks in colour ignore a colour, such as #ffffff. Received: {ignore}")
    elif ignore is not None and ignore >= COLOUR:
        raise ValueError(f"Masks without colours ignore a whole number. Received: {told(ignore)}")
    elif values.tolist() == [0, 255] and len(named) <= 2 and ignore in (None, IGNORE):
        return _object(named)
    kept = values if ignore is None else values[values != ignore]
    if not 2 <= len(kept) <= IGNORE:
        found = ", ".join(map(told, kept[:5])) + " and more" * (len(kept) > 5)
        raise ValueError(f"Masks must tell 2 to {IGNORE} classes apart. Received: {len(kept)} ({found})")
    if named:
        return _named(kept, named, ignore, in_colour)
    if palette is None and len(kept) > BLURRED and {0, 255} <= set(values.tolist()) and 250 <= kept[-1] <= 255:
        raise ValueError(
            f"Masks of {len(values)} values from 0 to 255 look blurred, as smooth resizing leaves them; resize the "
            "originals without smoothing (nearest), or name the classes"
        )
    names = [f"class {told(value)}" for value in kept]
    if kept.tolist() == [0, 1] and (palette is None or not palette[0].any()):
        names = ["background", "object"]
    return Coding(Classes(names, _class_colours(kept, palette)), tuple(kept.tolist()), ignore, in_colour)


def _object(named):
    """The coding of masks of 0 and 255; `named` are at most two."""
    names = ["background", "object"][: 2 - len(named)] + [name for name, _ in named]
    drawn = _drawn(named) if len(named) == 2 else ()
    return Coding(Classes(names, drawn or [(0, 0, 0), (128, 0, 0)]), (0, 255), None)


def _named(values, named, ignore, in_colour):
    if in_colour and not _drawn(named):
        raise ValueError(f"Masks in colour need a colour for each class, as in: {named[0][0]} #80c000")
    coded = {colour if in_colour else n: (name, colour) for n, (name, colour) in enumerate(named)}
    coded.pop(ignore, None)
    strange = [value for value in values.tolist() if value not in coded]
    if strange:
        raise UnknownValue(strange[0], f"the value {told(strange[0])} is none of the {len(coded)} classes with a name")
    names = [name for name, _ in coded.values()]
    return Coding(Classes(names, _drawn(coded.values())), tuple(coded), ignore, in_colour)


def _drawn(named):
    """The colours of named classes as red, green and blue; none where one is not known."""
    colours = [colour for _, colour in named]
    return () if None in colours else [_rgb(colour) for colour in colours]


def _class_colours(values, palette):
    if values[0] >= COLOUR:
        return [_rgb(value) for value in values.tolist()]
    if palette is not None and values[-1] < len(palette):
        return palette[values].tolist()
    return ()


def _rgb(value):
    return (value >> 16) & 255, (value >> 8) & 255, value & 255


def as_image(ids, classes):
    """Class ids `(height, width)` as a palette image: each pixel its id, shown in its class's colour."""
    image = Image.fromarray(np.asarray(ids, np.uint8)).convert("L")
    image.putpalette([part for colour in classes.colours for part in colour])
    return image
