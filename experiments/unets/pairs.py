"""A folder of photos and masks: `images/` and `masks/`, files of the same names, checked before TensorFlow starts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.harness.data.folders import digest_of, read_all
from experiments.harness.running.errors import UserError
from experiments.unets.lists import read_lists, read_names, split_names
from tfseg.classes import IGNORE
from tfseg.masks import COLOUR, UnknownValue, as_colours, find_coding, read_mask, told
from tfseg.photos import PhotoError, photos_in, read_photo

LAYOUT = "own data are photos in images/ and masks of the same names in masks/"


@dataclass(frozen=True)
class Pairs:
    """Photos and masks by split.

    Attributes:
        splits: `{"train": [(photo, mask), ...], "validation": ..., "test": ...}`.
        coding: which value of a mask is which class, a `tfseg.masks.Coding`.
        fingerprint: by split, its size and the hash of all its files.
    """

    splits: dict
    coding: object
    fingerprint: dict


def read_pairs(folder, ignore=IGNORE):
    """Reads and checks a folder, and returns its `Pairs`; a `UserError` names the file that is wrong.

    Args:
        folder: holds `images/` and `masks/`; optionally `classes.txt` (a name a class id, with or without a colour),
            and `train.txt`, `val.txt` and `test.txt` (names).
        ignore: value of the mask's pixels that neither train nor score.
    """
    folder = Path(folder)
    for part in ("images", "masks"):
        if not (folder / part).is_dir():
            raise UserError(f"{folder} has no folder {part}: {LAYOUT}")
    photos, masks = (_by_stem(folder / part) for part in ("images", "masks"))
    lists = read_lists(folder, photos)
    listed = [stem for names in lists.values() for stem in names]
    for stem in listed or photos:
        if stem not in masks:
            raise UserError(f"{photos[stem]} has no mask: masks/ needs a file of the name {stem}")
    for stem in masks:
        if stem not in photos:
            raise UserError(f"{masks[stem]} has no photo: images/ needs a file of the name {stem}")
    splits = split_names(photos, lists)
    pairs = {split: [(photos[name], masks[name]) for name in names] for split, names in splits.items()}
    every = [pair for split in pairs.values() for pair in split]
    print(f"Reading {len(every):,} photos and masks ...", flush=True)
    coding = _coding(folder, every, read_all(_check, every), ignore)
    fingerprint = {
        split: {"size": len(found), "sha256": digest_of(path for pair in found for path in pair)}
        for split, found in pairs.items()
    }
    return Pairs(pairs, coding, fingerprint)


def _by_stem(folder):
    """The images in a folder by their names without suffix, in alphabetical order.

    Raises `UserError` if it can't be read, if there is no image in it, or two images of one name.
    """
    found = {}
    try:
        images, _ = photos_in(folder)
    except OSError as error:
        raise UserError(f"can't read {folder} ({error.strerror})") from None
    for path in images:
        if path.stem in found:
            raise UserError(f"{found[path.stem]} and {path} have the same name; keep one of them")
        found[path.stem] = path
    if not found:
        raise UserError(f"no image in {folder}")
    return found


def _check(pair):
    """The values of a mask, and its palette."""
    photo, mask = pair
    values, palette = read_mask(mask)
    size = read_photo(photo).shape[:2]  # decoded once to see that it can be
    if values.shape != size:
        raise PhotoError(f"{mask} is {_told(values.shape)} pixels, and its photo {photo} is {_told(size)}")
    return np.unique(values), palette


def _told(size):
    return f"{size[1]} x {size[0]}"


def _coding(folder, pairs, found, ignore):
    named = [(name, None if rgb is None else COLOUR + rgb) for name, rgb in read_names(folder / "classes.txt")]
    masks = [mask for _, mask in pairs]
    palette = _common_palette(masks, found)
    files = [(mask, values) for mask, (values, _) in zip(masks, found, strict=True)]
    if palette is None and len(named) <= 2 and ignore == IGNORE:
        _refuse_two_ways(files)
    if not named and ignore == IGNORE:
        _refuse_strays(files)
    try:
        return find_coding(np.concatenate([values for _, values in files]), named, palette, ignore)
    except UnknownValue as error:
        where = next(mask for mask, values in files if error.value in values or error.value in as_colours(values))
        raise UserError(f"{where}: {error}; see {folder / 'classes.txt'}") from None
    except ValueError as error:
        raise UserError(f"{folder / 'masks'}: {error}") from None


def _common_palette(masks, found):
    """The colours of the values of masks with a palette, `(n, 3)`, or None where no mask has one.

    Raises:
        UserError: where a value has two colours, or other masks are in colour: then it does not say the class.
    """
    colours, named_by = {}, {}
    for mask, (values, palette) in zip(masks, found, strict=True):
        for value in values.tolist() if palette is not None else ():
            colour = tuple(palette[value]) if value < len(palette) else (0, 0, 0)
            if colours.setdefault(value, colour) != colour:
                raise UserError(
                    f"{named_by[value]} and {mask} have different colours for the value {value} of their palettes; "
                    "save all masks with one palette, as class ids, or in colour"
                )
            named_by.setdefault(value, mask)
    in_colour = next((mask for mask, (values, _) in zip(masks, found, strict=True) if values.max() >= COLOUR), None)
    if colours and in_colour:
        raise UserError(f"{in_colour} is in colour, and {next(iter(named_by.values()))} has a palette; save all alike")
    if not colours:
        return None
    palette = np.zeros((max(colours) + 1, 3), int)
    for value, colour in colours.items():
        palette[value] = colour
    return palette


def _refuse_two_ways(files):
    """Where the object is 1 in some masks and 255 in others, and both in none, 255 is no value to ignore."""
    if {value for _, values in files for value in values.tolist()} != {0, 1, 255}:
        return
    if any(1 in values and 255 in values for _, values in files):
        return
    one, other = (next(mask for mask, values in files if value in values) for value in (1, 255))
    raise UserError(f"{one} has the values 0 and 1, and {other} 0 and 255; save all masks alike")


def _refuse_strays(files):
    """Where most masks of an object are of 0 and 255, another value in one is a mistake, and 255 is not to be ignored
    for it."""
    strays = [(mask, values) for mask, values in files if not np.isin(values, (0, 255)).all()]
    objects = [values for _, values in files if 255 in values and np.isin(values, (0, 255)).all()]
    if strays and len(objects) > len(strays):
        mask, values = strays[0]
        value = values[~np.isin(values, (0, 255))][0]
        raise UserError(
            f"{mask} has the value {told(value)}, and most other masks are of 0 and 255 alone; mend it, or name the "
            "classes in classes.txt"
        )
