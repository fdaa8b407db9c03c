"""Photo files as arrays, as a viewer would show them. Needs Pillow and NumPy alone."""

import contextlib
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
    with opened(path) as image:
        return np.array(_rgb(image))


@contextlib.contextmanager
def opened(path):
    """Opens an image file, upright; what goes wrong with it inside the block is a `PhotoError` that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities of a file, and about sizes that memory bears
            with Image.open(path) as image:
                upright = _upright(image)
                upright.format = image.format
                yield upright
                return
    except PhotoError:
        raise
    except Image.DecompressionBombError:
        problem = f"more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} million pixels; make it smaller"
    except UnidentifiedImageError:
        problem = "not an image that Pillow knows"
    except Exception as error:  # Pillow lets whatever its decoders raise through
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise PhotoError(f"{path} can't be read ({problem})")


def as_photo(pixels):
    """Pixels of an array in the form that `read_photo` returns.

    Args:
        pixels: `(height, width)` or `(height, width, 1)` for grey, `(height, width, 3)` for RGB, `(height, width, 4)`
            for RGBA, whose transparent pixels are laid on white. Integers of 8 bits in [0, 255], of 16 bits in
            [0, 65535], floats in [0, 1], or bool.

    Returns:
        Uint8 `(height, width, 3)` in [0, 255].

    Raises:
        ValueError: for another shape or type, and for floats outside [0, 1].
    """
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or not pixels.size:
        raise ValueError(
            "A photo must be (height, width), grey, or (height, width, 1, 3 or 4): grey, RGB or RGBA. "
            f"Received: {pixels.dtype} {pixels.shape}"
        )
    pixels = _bytes(pixels)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:] / 255
        pixels = np.round(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _bytes(pixels):
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return np.round(pixels / 257).astype(np.uint8)
    if pixels.dtype != bool and not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"A photo must be uint8, uint16, bool, or floats in [0, 1]. Received: {pixels.dtype}")
    if not ((pixels >= 0) & (pixels <= 1)).all():
        raise ValueError(
            "A photo of floats must lie in [0, 1]; pass values in [0, 255] as uint8. "
            f"Received: {pixels.min():.6g} to {pixels.max():.6g}"
        )
    return np.round(pixels * np.float32(255)).astype(np.uint8)


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
    parts = [], []
    for path in files:
        parts[path.suffix.lower() not in known].append(path)
    return parts
