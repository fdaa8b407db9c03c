"""Masks as pictures: laid over a photo, in the classes' colours, with a legend."""

import numpy as np
from scipy.ndimage import binary_erosion

HIT, FALSE_POSITIVE, MISS = (0, 114, 178), (230, 80, 0), (250, 225, 40)
OVERLAY_LEGEND = {"found": HIT, "false positive": FALSE_POSITIVE, "missed": MISS}
"""What the colours of `overlay` with a truth mean, as `tile_grid` takes it."""

IGNORED = (255, 255, 255)
BLACK = (0, 0, 0)
TINT = 0.5
"""Strength of the colours over a photo."""


def overlay(image, mask, truth=None):
    """Lays a mask over a photo, the foreground tinted, its outline drawn: uint8 `(h, w, 3)` in [0, 255].

    Args:
        image: `(h, w, 3)`, uint8 in [0, 255] or float in [0, 1].
        mask: `(h, w)`, predicted foreground.
        truth: `(h, w)`, true foreground; tints hits, false positives and misses apart (`OVERLAY_LEGEND`). Without it
            the whole mask has the colour of a hit.
    """
    image, mask = np.asarray(image), np.asarray(mask, bool)
    photo = image.astype(np.float32) * (1 if image.dtype == np.uint8 else 255)
    truth = mask if truth is None else np.asarray(truth, bool)
    for region, colour in ((mask & truth, HIT), (mask & ~truth, FALSE_POSITIVE), (~mask & truth, MISS)):
        photo[region] += TINT * (np.float32(colour) - photo[region])
    photo[_outline(mask)] = 255
    return np.clip(np.round(photo), 0, 255).astype(np.uint8)


def _outline(mask):
    """The mask's outermost pixels, in a line about 1/128 of the image wide."""
    width = max(1, round(min(mask.shape) / 128))
    return mask & ~binary_erosion(mask, iterations=width, border_value=1)


def coloured(ids, colours):
    """Class ids `(h, w)` in colours `[(r, g, b), ...]`, uint8 `(h, w, 3)`; ids beyond them, the ignored, are white."""
    table = np.full((256, 3), IGNORED, np.uint8)
    table[: len(colours)] = colours
    return table[ids]


def class_overlay(image, ids, colours):
    """Lays class ids over a photo; a class whose colour is black, such as a background, leaves it as it is.

    The photo is uint8 `(h, w, 3)` in [0, 255], and so is the result; ids are `(h, w)`, and colours are by class id.
    """
    tint, photo = coloured(ids, colours).astype(np.float32), np.asarray(image, np.float32)
    plain = (tint == BLACK).all(axis=-1, keepdims=True)
    return np.round(np.where(plain, photo, photo + TINT * (tint - photo))).astype(np.uint8)


def pictures_of(photo, found, classes=None, threshold=0.5):
    """What a person wants to see of a photo's segmentation.

    Args:
        photo: uint8 `(height, width, 3)`.
        found: `(height, width)`: probabilities of foreground or, where there are `classes`, their ids.
        classes: a `tfseg.classes.Classes`, or None.
        threshold: of the probabilities; foreground is above it.

    Returns:
        `({"overlay": image, "mask": image, "cut-out": image}, text)`: `PIL.Image`s, and the shares of the classes.
    """
    from PIL import Image

    from tfseg.masks import as_image

    if classes is None:
        mask = found > threshold
        laid_over, image = overlay(photo, mask), Image.fromarray(mask.astype(np.uint8) * 255)
        told = f"{mask.mean():.1%} foreground"
    else:
        mask, image = found > 0, as_image(found, classes)
        laid_over = with_legend(class_overlay(photo, found, classes.colours), legend(classes))
        shares = ((name, np.mean(found == number)) for number, name in enumerate(classes.names))
        told = ", ".join(f"{name} {share:.1%}" for name, share in shares if share)
    cut_out = np.dstack([photo, mask.astype(np.uint8) * 255])
    return {"overlay": Image.fromarray(laid_over), "mask": image, "cut-out": Image.fromarray(cut_out)}, told


def legend(classes):
    """`{name: colour}` of a `tfseg.classes.Classes`, as `figures.tile_grid` takes it."""
    return dict(zip(classes.names, classes.colours, strict=True))


def with_legend(image, named):
    """A picture with a legend beneath: a square and a name a class, over as many lines as it takes.

    The picture is uint8 `(h, w, 3)`, and so is the result, which is higher; `named` is `{name: (r, g, b)}`.
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
        draw.rectangle((x, height + y, x + size, height + y + size), fill=colour, outline="black")
        draw.text((x + 1.5 * size, height + y - size // 8), name, font=font, fill="black")
    return np.array(whole)
