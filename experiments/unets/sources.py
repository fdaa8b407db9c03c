"""What `--data` of the U-Net scripts can be: Pets, the built-in shapes, a folder of one's own, a TFDS dataset by name.

`choose` runs before TensorFlow is imported, and `load` after it.
"""

import argparse
import re
from dataclasses import dataclass

from experiments.harness.data import datasets
from experiments.harness.data.folders import choose_folder
from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from experiments.unets.pairs import read_pairs
from experiments.unets.recipes import IDS, TARGETS
from tfseg.classes import IGNORE
from tfseg.masks import COLOUR

TRIMAPS, BUILTIN = "oxford_iiit_pet", "shapes"


@dataclass(frozen=True)
class Own:
    """Data of one's own.

    Attributes:
        pairs: of a folder, its `Pairs`.
        ignore: value of the masks' pixels to leave out.
    """

    pairs: object
    ignore: int


def add_options(parser):
    """Adds `--data` and `--ignore`."""
    parser.add_argument(
        "--data",
        default="auto",
        metavar="DATA",
        help=f"auto ({TRIMAPS} where it can be had, else {BUILTIN}), either of these, a folder with images/ and "
        "masks/, or a TFDS dataset with image and segmentation_mask (default: %(default)s)",
    )
    parser.add_argument(
        "--ignore",
        type=_value,
        metavar="VALUE",
        help="value of your masks' pixels that neither train nor score, of masks in colour such as '#ffffff' (default: "
        f"{IGNORE}, of masks in colour none)",
    )


def _value(text):
    """A value of masks, a whole number or a colour, as `tfseg.masks.read_mask` returns it."""
    if re.fullmatch("#[0-9a-fA-F]{6}", text):
        return COLOUR + int(text[1:], 16)
    if text.startswith("#"):
        raise argparse.ArgumentTypeError(f"must be a whole number, or a colour such as #ffffff, received {text}")
    return runs.whole(0)(text)


def choose(args):
    """Decides where the data comes from, and reads a folder.

    Returns:
        `(choice, own)`: a `datasets.Choice`, and what to do with data of one's own, an `Own`.

    Raises:
        UserError: as `datasets.choose` and `read_pairs`, and for `ignore` where it means nothing.
    """
    trimaps = args.data in ("auto", TRIMAPS, BUILTIN)
    if trimaps and args.ignore is not None:
        raise UserError(f"--ignore is of your own masks; those of {TRIMAPS} and {BUILTIN} have no such value")
    ignore = IGNORE if args.ignore is None else args.ignore
    choice = None if trimaps else choose_folder(args.data)
    if choice is None:
        return datasets.choose(args.data, TRIMAPS, BUILTIN, args.data_dir), Own(None, ignore)
    return choice, Own(read_pairs(choice.data_dir, ignore), ignore)


def load(choice, own, recipe, preset):
    """Loads the data that `choose` chose: a `Splits`; of data of one's own an `OwnData`, which has classes.

    The limits are the recipe's, and the preset decides the size of the built-in dataset. Without `own`, the choice is
    of trimaps.
    """
    from experiments.unets.own_data import from_pairs, from_tfds
    from experiments.unets.training import trimaps

    if choice.source == "folder":
        return from_pairs(choice.name, own.pairs, recipe.train_limit, recipe.test_limit)
    if choice.name in (TRIMAPS, BUILTIN):
        return trimaps(choice, preset, recipe.train_limit, recipe.test_limit)
    return from_tfds(choice, recipe.train_limit, recipe.test_limit, own.ignore)


def check_target(target, choice):
    """Refuses a target that the data does not have: class ids for trimaps, or a target of trimaps for other data."""
    if target == IDS and choice.name in (TRIMAPS, BUILTIN):
        raise UserError(f"--hparams: target must be one of {', '.join(TARGETS)} for {choice.name}. Received: {target}")
    if target not in (None, IDS) and choice.name not in (TRIMAPS, BUILTIN):
        raise UserError(f"--target chooses among the trimaps of {TRIMAPS}; of {choice.name}, the masks' classes are it")
