"""What `--data` of `cvae.py` can be beyond the known datasets: a folder a class, or any TFDS dataset with labels."""

from experiments.cvaes.class_folders import read_class_folder
from experiments.cvaes.recipes import MODELS
from experiments.harness.data import datasets
from experiments.harness.data.folders import choose_folder
from experiments.harness.running.errors import UserError

SIZES = (28, 32)
FEATURES = {"image", "label"}


def choose(args):
    """Decides where the data comes from, and reads a folder.

    Returns:
        `(choice, own)`: a `datasets.Choice`, and of a folder its `ClassFolder`, else None.

    Raises:
        UserError: as `datasets.choose` and `read_class_folder`, and for `image_size` with a known dataset, which has
            its own.
    """
    known = args.data in ("auto", *MODELS)
    if known and args.image_size:
        raise UserError(f"--image-size is of your own data; {args.data} has its own")
    choice = None if known else choose_folder(args.data)
    if choice is not None:
        return choice, read_class_folder(choice.data_dir, args.image_size or SIZES[-1])
    builtin = args.data if args.data in ("glyphs", "glyphs-colour") else "glyphs"
    return datasets.choose(args.data, "mnist", builtin, args.data_dir), None


def family_of(image_shape):
    """The known dataset whose models fit images of one's own: MNIST's for grey ones, CIFAR-10's for colour.

    CIFAR-10's halve the image three times, which 28 pixels are not made for; the glyphs' do it twice.
    """
    size, _, channels = image_shape
    if channels == 1:
        return "mnist"
    return "cifar10" if size == SIZES[-1] else "glyphs-colour"


def tfds_images(choice, image_size=None):
    """What a TFDS dataset of labelled images is like; downloads and prepares it where that was the choice.

    Images are to be resized to `image_size`; by default that is their own side where it is 28 or 32, else 32. A dataset
    that has no such images, labels or splits is a `UserError`.

    Returns:
        `(image_shape, class_names, splits)`: the latter are what `datasets.splits_of` returned.
    """

    def check(features):
        if not set(features) >= FEATURES:
            raise UserError(f"{choice.name} has {', '.join(sorted(features))}; a conditional VAE needs image and label")
        classes, channels = getattr(features["label"], "num_classes", None), features["image"].shape[-1]
        if not classes or classes < 2 or channels not in (1, 3):
            raise UserError(
                f"{choice.name} has {classes or 'no'} classes and {channels} channels; it needs two, and 1 or 3"
            )

    info = datasets.builder_of(choice, check).info
    label, (height, width, channels) = info.features["label"], info.features["image"].shape
    splits = datasets.splits_of(info, choice.name)
    size = image_size or (height if height == width and height in SIZES else SIZES[-1])
    return (size, size, channels), tuple(label.names), splits
