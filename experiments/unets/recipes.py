"""What the U-Net matrix trains: the variants, the presets, and how both become one `Recipe`."""

from dataclasses import asdict, dataclass, replace

TUTORIAL = "tutorial"
TUNED = "tuned"
"""The variant whose blocks and loss are those of `--hparams`."""
VARIANT_FIELDS = {"down": str, "up": str, "loss": str}
"""What a search's hyperparameters say of blocks and loss; all variants but `tuned` have their own."""
TARGETS = ("foreground", "pet", "trimap")
"""Those of `tfseg.data`, which imports TensorFlow."""


@dataclass(frozen=True)
class Variant:
    """One row of the matrix. `network` is `"unet"` or `"tutorial"` (the article's own network and recipe)."""

    down: str
    up: str
    loss: str
    network: str = "unet"


VARIANTS = {
    "mp-tr-bce": Variant("maxpool", "transpose", "bce"),
    "mp-tr-dice": Variant("maxpool", "transpose", "dice"),
    "strconv-tr-bce": Variant("strided", "transpose", "bce"),
    "strconv-ups-dice": Variant("strided", "upsample", "dice"),
    TUTORIAL: Variant("maxpool", "transpose", "bce", network=TUTORIAL),
}
MATRIX = ("mp-tr-bce", "mp-tr-dice", "strconv-tr-bce", "strconv-ups-dice")


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes one training, data and seed apart.

    Attributes:
        variant: what is trained.
        image_size: side of the square that the model sees, in pixels.
        filters, depth, normalization, dropout: see `tfseg.unet.build_unet`.
        batch_size: images a step.
        images: budget of images seen in training; `epochs`, where not 0, takes its place.
        target: a name in `tfseg.data.TARGETS`.
        learning_rate: peak of the one-cycle schedule, or the constant rate.
        weight_decay: of AdamW; 0 for plain Adam.
        one_cycle: one-cycle schedule, or else a constant rate.
        augmentation: strength, 0 for none; see `tfseg.data.augment`.
        train_limit, test_limit: use only so many examples of each split; 0 for all.
    """

    variant: Variant = VARIANTS["mp-tr-bce"]
    image_size: int = 128
    filters: int = 16
    depth: int = 4
    normalization: str | None = "batch"
    dropout: float = 0.2
    batch_size: int = 16
    images: int = 25_000
    epochs: int = 0
    target: str = "foreground"
    learning_rate: float = 3e-3
    weight_decay: float = 5e-2
    one_cycle: bool = True
    augmentation: float = 1.5
    train_limit: int = 0
    test_limit: int = 0

    def __post_init__(self):
        for name in ("image_size", "filters", "depth", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {name}={getattr(self, name)!r}")
        if self.target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}. Received: target={self.target!r}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1). Received: dropout={self.dropout!r}")
        for name in ("images", "epochs", "learning_rate", "weight_decay", "augmentation", "train_limit", "test_limit"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0, and finite. Received: {name}={getattr(self, name)!r}")

    def epochs_for(self, train_images):
        """Epochs that make up the budget for a training set of this size; at least one."""
        return self.epochs or max(1, round(self.images / train_images))

    def record(self):
        """The recipe as a flat dictionary."""
        fields = asdict(self)
        return fields.pop("variant") | fields


PRESETS = {
    "smoke": Recipe(image_size=32, filters=4, depth=2, batch_size=8, images=128, train_limit=72, test_limit=16),
    "demo": Recipe(image_size=64, images=6_000),
    "cpu": Recipe(),
    "gpu": Recipe(filters=64, epochs=100, batch_size=32),
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
    """The recipe of one variant: the preset's, with the overrides, and for `tutorial` the article's own.

    Args:
        preset: a name in `PRESETS`.
        variant: a name in `VARIANTS`, or `tuned`.
        overrides: fields of `Recipe` that the user set, and, for `tuned` alone, those of `VARIANT_FIELDS`. Of these,
            `tutorial` takes the image size alone, so that it stays the article's recipe and its row compares.
    """
    parts = {name: value for name, value in overrides.items() if name in VARIANT_FIELDS}
    overrides = {name: value for name, value in overrides.items() if name not in parts}
    recipe = replace(PRESETS[preset], variant=Variant(**parts) if variant == TUNED else VARIANTS[variant])
    if recipe.variant.network == TUTORIAL:
        recipe = replace(
            recipe,
            depth=4,
            normalization="batch",
            dropout=0.3,
            target="trimap",
            learning_rate=1e-3,
            weight_decay=0.0,
            one_cycle=False,
            augmentation=0.0,
        )
        if preset != "smoke":
            recipe = replace(recipe, filters=32, batch_size=32, epochs=20)
        overrides = {name: value for name, value in overrides.items() if name == "image_size"}
    return replace(recipe, **overrides)
