"""Class ids as pictures: in the classes' colours, over a photo, with a legend."""

import numpy as np

IGNORED = (255, 255, 255)
BLACK = (0, 0, 0)


def coloured(ids, colours):
    """Class ids `(h, w)` in colours `[(r, g, b), ...]`, uint8 `(h, w, 3)`; ids beyond them, the ignored, are white."""
    table = np.full((256, 3), IGNORED, np.uint8)
    table[: len(colours)] = colours
    return table[ids]


def class_overlay(image, ids, colours, alpha=0.5):
    """Lays class ids over a photo; a class whose colour is black, such as a background, leaves it as it is.

    Args:
        image: `(h, w, 3)`, uint8 in [0, 255].
        ids: class ids `(h, w)`.
        colours: by class id.
        alpha: strength of the tint, in [0, 1].

    Returns:
        Uint8 `(h, w, 3)`.
    """
    tint, photo = coloured(ids, colours).astype(np.float32), np.asarray(image, np.float32)
    plain = (tint == BLACK).all(axis=-1, keepdims=True)
    return np.round(np.where(plain, photo, photo + alpha * (tint - photo))).astype(np.uint8)


def legend(names, colours):
    """`{name: colour}`, as `figures.tile_grid` takes it."""
    return dict(zip(names, map(tuple, colours), strict=True))


def with_legend(image, named):
    """A picture with a legend beneath: a square and a name a class, over as many lines as it takes.

    Args:
        image: uint8 `(h, w, 3)`.
        named: `{name: (r, g, b)}`.

    Returns:
        Uint8 `(h + more, w, 3)`.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = image.shape[:2]
    size = max(11, min(40, width // 30))
    font, places, x, y = ImageFont.load_default(size), [], size // 2, size // 2
    for name in named:
        wide = int(1.5 * size + font.getlength(name) + size)
        if x > size // 2 and x + wide > width:
            x, y = size // 2, y + int(1.5 * size)
        places.append((x, y))
        x += wide
    whole = Image.new("RGB", (width, height + y + 2 * size), "white")
    whole.paste(Image.fromarray(image))
    draw = ImageDraw.Draw(whole)
    for (name, colour), (x, y) in zip(named.items(), places, strict=True):
        draw.rectangle((x, height + y, x + size, height + y + size), fill=tuple(colour), outline="black")
        draw.text((x + 1.5 * size, height + y - size // 8), name, font=font, fill="black")
    return np.array(whole)
