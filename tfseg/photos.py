"""Photo files as arrays, as a viewer would show them. Needs Pillow and NumPy alone."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


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
        PhotoError: for a file that is missing, no image, damaged, or of more than `PIL.Image.MAX_IMAGE_PIXELS` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about harmless oddities of a file
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return np.array(_rgb(ImageOps.exif_transpose(image)))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        problem = f"more than {Image.MAX_IMAGE_PIXELS // 10**6} million pixels; make it smaller"
    except UnidentifiedImageError:
        problem = "not an image that Pillow knows"
    except Exception as error:  # Pillow lets whatever its decoders raise through
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise PhotoError(f"{path} can't be read ({problem})")


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
    """The images in a folder (not in those below it), by their suffixes, sorted by name, without hidden files.

    Args:
        folder: the folder.

    Returns:
        List of `pathlib.Path`.
    """
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    return sorted(
        path
        for path in Path(folder).iterdir()
        if path.suffix.lower() in known and not path.name.startswith(".") and path.is_file()
    )
