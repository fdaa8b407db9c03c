"""What `cvae.py` trains: the models by dataset, the presets, and how both become one `Recipe`."""

from dataclasses import asdict, dataclass, fields, replace

NETWORKS = ("tiny", "small", "base")
LIKELIHOODS = ("bernoulli", "bernoulli_grey", "gaussian", "discretized_logistic", "coupled_discretized_logistic")
PRIORS = ("standard", "class")
CONDITIONINGS = ("modulation", "input", "prior")
"""Names that `tfcvae` knows, which imports Keras."""

PROBABILITIES = ("discretized_logistic", "coupled_discretized_logistic")
"""Likelihoods over 256 levels: they have bits/dim, and their ELBOs compare with each other. A Bernoulli's are of black
and white pixels and compare with no other's; a Gaussian's are densities."""

ELBO_SAMPLES = 5
"""Latents an image in every ELBO of the test split."""

SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "glyphs": (28, 28, 1), "glyphs-colour": (32, 32, 3)}
"""Shape of a dataset's images: height, width, channels."""


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes one training, data and seed apart.

    Attributes:
        network, latent_shape, label_dim, likelihood, prior, kl_weight, free_bits, label_noise, conditioning: see
            `tfcvae.model.CVAE`.
        kl_warmup: share of the optimizer steps over which the KL weight rises from 0.
        batch_size: images a step.
        images: budget of images seen in training; `epochs`, where not 0, takes its place.
        learning_rate: peak of the one-cycle schedule.
        flip: mirror training images left to right at random.
        train_limit, test_limit: use only so many examples of each split; 0 for all.
        importance_samples: of the importance-weighted bound; 0 leaves it out.
        wrong_labels: wrong labels that each test image is sent in with.
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
    label_noise: float = 0.5
    conditioning: str = "modulation"
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
        names = ("kl_weight", "free_bits", "images", "epochs", "learning_rate")
        for name in (*names, "train_limit", "test_limit", "importance_samples"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0, and finite. Received: {name}={getattr(self, name)!r}")
        for name in ("kl_warmup", "label_noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1]. Received: {name}={getattr(self, name)!r}")
        if self.wrong_labels > 9:
            raise ValueError(f"wrong_labels must be at most 9. Received: wrong_labels={self.wrong_labels!r}")
        if self.conditioning == "prior" and (self.prior != "class" or self.label_noise):
            received = f"prior={self.prior!r}, label_noise={self.label_noise!r}"
            raise ValueError(f"conditioning='prior' needs prior='class' and no label noise. Received: {received}")

    def epochs_for(self, train_images):
        """Epochs that make up the budget for a training set of this size; at least one."""
        return self.epochs or max(1, round(self.images / train_images))

    def record(self):
        """The recipe as a flat dictionary."""
        return asdict(self)


DIGITS = Recipe(kl_weight=1.5, label_noise=0.1, batch_size=64, images=2_400_000)
COLOUR = Recipe(
    likelihood="coupled_discretized_logistic", latent_shape=(128,), label_noise=0.1, flip=True, importance_samples=0
)
STEPS = replace(COLOUR, label_noise=0.0, batch_size=32)  # more steps on as many images gain more than larger batches
POINT = replace(COLOUR, kl_weight=8.0, images=315_000)

MODELS = {
    "mnist": {"standard": DIGITS},
    "cifar10": {
        "control": replace(STEPS, kl_weight=12.0, prior="class", conditioning="prior", images=225_000),
        "density": replace(STEPS, latent_shape=(8, 8, 16), images=450_000),
        # What `control` was developed from, all trained for as long: what does each choice do for label control?
        "kl1": replace(POINT, kl_weight=1.0),
        "kl3": replace(POINT, kl_weight=3.0),
        "kl8": POINT,
        "kl15": replace(POINT, kl_weight=15.0),
        "kl40": replace(POINT, kl_weight=40.0),
        "plain": replace(POINT, kl_weight=1.0, conditioning="input", label_noise=0.0),
        "class-kl8": replace(POINT, prior="class"),
        "prior-kl8": replace(POINT, prior="class", conditioning="prior", label_noise=0.0),
        "latent16-kl1": replace(POINT, kl_weight=1.0, latent_shape=(16,)),
    },
    "glyphs": {"standard": replace(DIGITS, images=300_000)},
    "glyphs-colour": {"standard": replace(COLOUR, latent_shape=(32,), images=300_000, flip=False)},
}
"""Models by dataset and name, with the budget of the `cpu` preset. A dataset's first is trained by default, and its
pictures are the dataset's."""

PRESETS = {
    "smoke": {
        "network": "tiny",
        "batch_size": 32,
        "images": 1_600,
        "importance_samples": 5,
        "wrong_labels": 2,
        "samples_per_class": 10,
        "train_limit": 500,
        "test_limit": 100,
    },
    "cpu": {},
    "gpu": {"network": "base", "batch_size": 256, "images": 12_000_000},
}
"""What a preset changes in a model's recipe: `smoke` for tests (seconds), `cpu` for 2 cores (up to an hour a model),
`gpu` a larger network, trained longer."""

VALIDATION = {"smoke": 100, "cpu": 5_000, "gpu": 5_000}
"""Training images held out, by preset."""

BUILTIN_SIZES = {"smoke": (500, 100), "cpu": (20_000, 2_000), "gpu": (60_000, 10_000)}
"""Train and test images of the procedural datasets, by preset; a tenth of the train images is held out there."""


def pick_preset(requested, device):
    """Resolves `auto`: `gpu` on a GPU, `cpu` elsewhere."""
    return requested if requested != "auto" else device.lower()


def make_recipe(dataset, model, preset, overrides):
    """The recipe of one model under a preset.

    Args:
        dataset, model: keys of `MODELS`.
        preset: a key of `PRESETS`.
        overrides: fields of `Recipe` that the user set; `latent_dim`, one number, becomes the latent's shape: of a
            spatial latent it is the number of channels.

    Raises:
        ValueError: for what no model of the dataset can be built with.
    """
    recipe = replace(MODELS[dataset][model], **PRESETS[preset])
    overrides = dict(overrides)
    if "latent_dim" in overrides:
        overrides["latent_shape"] = (*recipe.latent_shape[:-1], overrides.pop("latent_dim"))
    recipe = replace(recipe, **overrides)
    height, width, _ = SHAPES[dataset]
    if len(recipe.latent_shape) == 3 and tuple(recipe.latent_shape[:2]) != (height // 4, width // 4):
        raise ValueError(
            f"latent_shape must be one number, or [{height // 4}, {width // 4}, channels] for {dataset}. "
            f"Received: latent_shape={list(recipe.latent_shape)}"
        )
    return recipe


OPTIONS = tuple(field.name for field in fields(Recipe)) + ("latent_dim",)
"""What `make_recipe` takes as overrides."""
