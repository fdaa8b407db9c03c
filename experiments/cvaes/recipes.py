"""What `cvae.py` trains: the models by dataset, the presets, and how both become one `Recipe`."""

from dataclasses import asdict, dataclass, fields, replace

NETWORKS = ("tiny", "small", "base", "colour", "colour-wide")
LIKELIHOODS = ("bernoulli", "bernoulli_grey", "gaussian", "discretized_logistic", "coupled_discretized_logistic")
LIKELIHOODS += ("features",)
PRIORS = ("standard", "class")
CONDITIONINGS = ("modulation", "input")
"""Names that `tfcvae` knows, which imports Keras."""

PROBABILITIES = ("discretized_logistic", "coupled_discretized_logistic")
"""Likelihoods over 256 levels: they have bits/dim, and their ELBOs compare with each other. A Bernoulli's are of black
and white pixels and compare with no other's; a Gaussian's are densities, and `features` is an energy."""

ELBO_SAMPLES = 5
"""Latents an image in every ELBO of the test split."""

SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "glyphs": (28, 28, 1), "glyphs-colour": (32, 32, 3)}
"""Shape of a dataset's images: height, width, channels."""


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes one training, data and seed apart.

    Attributes:
        network, latent_shape, label_dim, likelihood, prior, kl_weight, free_bits, conditioning: see
            `tfcvae.model.CVAE`.
        wrong_label_share, classifier_weight, layout_weight, adversary_weight: see `tfcvae.training.LabelControl`, whose
            `wrong_labels` is the first.
        adversary: a key of `tfcvae.adversary.ADVERSARIES`.
        average: momentum of the averaged weights that are validated and kept; 0 for none.
        beta_1, beta_2: of Adam.
        kl_warmup: share of the optimizer steps over which the KL weight rises from 0.
        batch_size: images a step.
        images: budget of images seen in training; `epochs`, where not 0, takes its place.
        learning_rate: peak of the one-cycle schedule.
        flip: mirror training images left to right at random.
        train_limit, test_limit: use only so many examples of each split; 0 for all.
        importance_samples: of the importance-weighted bound; 0 leaves it out.
        wrong_labels: wrong labels that each test image is sent in with; fewer where there are fewer.
        samples_per_class: drawn for the judge.
    """

    network: str = "small"
    latent_shape: tuple = (32,)
    label_dim: int = 32
    likelihood: str = "bernoulli"
    prior: str = "standard"
    kl_weight: float = 1.0
    kl_warmup: float = 0.1
    free_bits: float = 0.0
    conditioning: str = "modulation"
    wrong_label_share: float = 0.0
    classifier_weight: float = 0.0
    layout_weight: float = 0.0
    adversary_weight: float = 0.0
    adversary: str = "base"
    average: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    batch_size: int = 128
    images: int = 3_000_000
    epochs: int = 0
    learning_rate: float = 2e-3
    flip: bool = False
    train_limit: int = 0
    test_limit: int = 0
    importance_samples: int = 500
    wrong_labels: int = 9
    samples_per_class: int = 1000

    def __post_init__(self):
        names = {"network": NETWORKS, "likelihood": LIKELIHOODS, "prior": PRIORS, "conditioning": CONDITIONINGS}
        for name, known in names.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}. Received: {name}={getattr(self, name)!r}")
        if len(self.latent_shape) not in (1, 3) or min(self.latent_shape) < 1:
            raise ValueError(
                "latent_shape must be one number of at least 1, or three. "
                f"Received: latent_shape={list(self.latent_shape)}"
            )
        for name in ("label_dim", "batch_size", "wrong_labels", "samples_per_class"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {name}={getattr(self, name)!r}")
        if self.wrong_labels > 9:
            raise ValueError(f"wrong_labels must be at most 9. Received: wrong_labels={self.wrong_labels!r}")
        names = ("kl_weight", "free_bits", "images", "epochs", "learning_rate")
        names += ("classifier_weight", "layout_weight", "adversary_weight")
        for name in (*names, "train_limit", "test_limit", "importance_samples"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0, and finite. Received: {name}={getattr(self, name)!r}")
        for name in ("kl_warmup", "wrong_label_share", "average", "beta_1", "beta_2"):
            most = 1 if name == "kl_warmup" else 0.9999
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must lie in [0, {most}]. Received: {name}={getattr(self, name)!r}")

    @property
    def uses_features(self):
        """Whether training needs the feature network."""
        return self.likelihood == "features" or bool(self.classifier_weight)

    def epochs_for(self, train_images):
        """Epochs that make up the budget for a training set of this size; at least one."""
        return self.epochs or max(1, round(self.images / train_images))

    def record(self):
        """The recipe as a flat dictionary."""
        return asdict(self)


DIGITS = Recipe(
    kl_weight=1.0, wrong_label_share=0.25, classifier_weight=5.0, batch_size=64, images=2_400_000, average=0.999
)  # fmt: skip
COLOUR = Recipe(
    likelihood="coupled_discretized_logistic", latent_shape=(128,), batch_size=32, flip=True, importance_samples=0,
    average=0.999, images=450_000,
)  # fmt: skip
FEATURES = replace(
    COLOUR, network="colour", likelihood="features", wrong_label_share=0.5, classifier_weight=5.0, layout_weight=2500.0,
    batch_size=64, learning_rate=5e-4,
)  # fmt: skip
CONTROL = replace(
    FEATURES,
    classifier_weight=7.5,
    layout_weight=4000.0,
    adversary_weight=50.0,
    learning_rate=2e-4,
    beta_1=0.5,
    beta_2=0.99,
)

MODELS = {
    "mnist": {"standard": DIGITS},
    "cifar10": {
        "control": CONTROL,
        "features": FEATURES,
        "density": replace(COLOUR, latent_shape=(8, 8, 16)),
        "plain": replace(COLOUR, conditioning="input"),
    },
    "glyphs": {"standard": replace(DIGITS, images=300_000)},
    "glyphs-colour": {"standard": replace(FEATURES, network="small", latent_shape=(32,), images=300_000, flip=False)},
}
"""Models by dataset and name, with the budget of the `cpu` preset. A dataset's first is trained by default, and its
pictures are the dataset's."""

PRESETS = {
    "smoke": {
        "network": "tiny",
        "adversary": "tiny",
        "batch_size": 32,
        "images": 1_600,
        "importance_samples": 5,
        "wrong_labels": 2,
        "samples_per_class": 10,
        "train_limit": 500,
        "test_limit": 100,
    },
    "cpu": {},
    "gpu": {},
}
"""What a preset changes in a model's recipe: `smoke` for tests (seconds), `cpu` for 2 cores (an hour or two a model),
`gpu` a larger network, trained longer (`ON_GPU`)."""

ON_GPU = {
    "control": {"network": "colour-wide", "images": 720_000},
    "features": {"network": "colour-wide", "images": 720_000},
    "density": {"network": "base", "batch_size": 128, "images": 720_000},
    "plain": {"network": "base", "batch_size": 128, "images": 720_000},
    "standard": {"network": "base", "batch_size": 128, "images": 6_000_000},
}
"""What the `gpu` preset changes, by model."""

VALIDATION = {"smoke": 100, "cpu": 5_000, "gpu": 5_000}
"""Training images held out, by preset."""

BUILTIN_SIZES = {"smoke": (500, 100), "cpu": (20_000, 2_000), "gpu": (60_000, 10_000)}
"""Train and test images of the procedural datasets, by preset; a tenth of the train images is held out there."""


def pick_preset(requested, device):
    """Resolves `auto`: `gpu` on a GPU, `cpu` elsewhere."""
    return requested if requested != "auto" else device.lower()


def make_recipe(dataset, model, preset, overrides, image_shape=None):
    """The recipe of one model under a preset.

    Args:
        dataset, model: keys of `MODELS`.
        preset: a key of `PRESETS`.
        overrides: fields of `Recipe` that the user set; `latent_dim`, one number, becomes the latent's shape: of a
            spatial latent it is the number of channels.
        image_shape: of other images than the dataset's, which its models are to be trained on.

    Raises:
        ValueError: for what no model of the dataset can be built with.
    """
    recipe = replace(MODELS[dataset][model], **PRESETS[preset], **(ON_GPU[model] if preset == "gpu" else {}))
    overrides = dict(overrides)
    if "latent_dim" in overrides:
        overrides["latent_shape"] = (*recipe.latent_shape[:-1], overrides.pop("latent_dim"))
    recipe = replace(recipe, **overrides)
    height, width, _ = image_shape or SHAPES[dataset]
    if len(recipe.latent_shape) == 3 and tuple(recipe.latent_shape[:2]) != (height // 4, width // 4):
        raise ValueError(
            f"latent_shape must be one number, or [{height // 4}, {width // 4}, channels] for {dataset}. "
            f"Received: latent_shape={list(recipe.latent_shape)}"
        )
    return recipe


OPTIONS = tuple(field.name for field in fields(Recipe)) + ("latent_dim",)
"""What `make_recipe` takes as overrides."""
