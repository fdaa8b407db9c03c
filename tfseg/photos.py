"""Photo files as arrays, as a viewer would show them. Needs Pillow and NumPy alone."""

import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a photo upright, by the orientation that its camera noted."""

_HEADER_ONLY = {"MPEG", "BUFR", "GRIB", "HDF5"}
"""Formats that Pillow knows by their headers and can't decode."""


class PhotoError(ValueError):
    """A file that can't be read as a photo; the message names it and says why."""


def read_photo(path):
    """Reads a photo in any format and of any size that Pillow opens.

    The rotation that a camera noted (EXIF) is applied; of an animation, the first frame is read; transparent pixels lie
    on white; greyscale, palette and CMYK become RGB. Greyscale of 16 bits is scaled to 8; that of 32 bits, whose range
    no format tells, is stretched from its darkest to its brightest pixel.

    Args:
        path: the file.

    Returns:
        Uint8 `(height, width, 3)` in [0, 255].

    Raises:
        PhotoError: for a file that is missing, no image, damaged, or of more than twice
            `PIL.Image.MAX_IMAGE_PIXELS` pixels (179 million).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities of a file, and about sizes that memory bears
            with Image.open(path) as image:
                return np.array(_rgb(_upright(image)))
    except Image.DecompressionBombError:
        problem = f"more than {2 * Image.MAX_IMAGE_PIXELS // 10**6} million pixels; make it smaller"
    except UnidentifiedImageError:
        problem = "not an image that Pillow knows"
    except Exception as error:  # Pillow lets whatever its decoders raise through
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise PhotoError(f"{path} can't be read ({problem})")


def _upright(image):
    """The image as its camera was held. `PIL.ImageOps.exif_transpose` writes all of its notes anew, and fails where one
    is malformed."""
    image.load()  # which turns a TIFF upright
    turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    return image if turn is None else image.transpose(turn)


def _rgb(image):
    if image.mode.startswith("I;16"):
        image = _grey(np.asarray(image) / 257)
    elif image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float64))
        image = _grey((values - values.min()) * (255 / max(np.ptp(values), 1e-9)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _grey(values):
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))


def photos_in(folder):
    """The images in a folder (not in those below it), by their suffixes, without hidden files.

    Args:
        folder: the folder.

    Returns:
        `(images, others)`: lists of `pathlib.Path`, sorted by name; among the others may be images of formats that
        Pillow does not open.
    """
    formats = Image.registered_extensions()  # which also fills Image.OPEN
    known = {suffix for suffix, name in formats.items() if name in Image.OPEN.keys() - _HEADER_ONLY}
    files = sorted(p for p in Path(folder).iterdir() if p.is_file() and not p.name.startswith("."))
    images = [path for path in files if path.suffix.lower() in known]
    return images, [path for path in files if path not in images]
