"""What `cvae.py` trains: the models by dataset, the presets, and how both become one `Recipe`."""

from dataclasses import asdict, dataclass, replace

from experiments.harness.running import runs
from experiments.harness.running.recipe import check, setting

NETWORKS = ("tiny", "small", "digits", "base", "wide", "colour", "colour-wide")
THREE_HALVINGS = ("colour", "colour-wide")
"""Networks that halve an image three times, and have no spatial latent; the others do it twice."""
LIKELIHOODS = ("bernoulli", "bernoulli_grey", "gaussian", "discretized_logistic", "coupled_discretized_logistic")
LIKELIHOODS += ("features",)
PRIORS = ("standard", "class")
CONDITIONINGS = ("modulation", "input")
POSTERIORS = ("diagonal", "full")
ADVERSARIES = ("tiny", "base")
"""Names that `tfcvae` knows, which imports Keras."""

MOST_EPOCHS = 200
"""Of a small training set, which the budget of images would go through thousands of times."""

PROBABILITIES = ("discretized_logistic", "coupled_discretized_logistic")
"""Likelihoods over 256 levels: they have bits/dim, and their ELBOs compare with each other. A Bernoulli's are of black
and white pixels and compare with no other's; a Gaussian's are densities, and `features` is an energy."""

EVALUATION = ("test_limit", "importance_samples", "wrong_labels", "samples_per_class")
"""Fields of a recipe that shape its scores alone."""

ELBO_SAMPLES = 5
"""Latents an image in every ELBO of the test split."""

SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "glyphs": (28, 28, 1), "glyphs-colour": (32, 32, 3)}
"""Shape of a dataset's images: height, width, channels."""


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes one training, data and seed apart; see `tfcvae.model.CVAE` and, for training on wrong
    labels, `tfcvae.training.LabelControl`."""

    network: str = setting("small", "size of encoder and decoder", names=NETWORKS)
    latent_shape: tuple = setting((32,), "latent units; of a spatial latent, height, width and channels")
    label_dim: int = setting(32, "length of the label's embedding", 1, option=True)
    likelihood: str = setting("bernoulli", "of the pixels (default: the model's)", names=LIKELIHOODS, option=True)
    prior: str = setting(
        "standard", "N(0, I), or a learned normal distribution for each class", names=PRIORS, option=True
    )
    kl_weight: float = setting(1.0, "of the KL divergence in the loss; 1 is the ELBO", option=True)
    kl_warmup: float = setting(0.1, "share of the optimizer steps over which the KL weight rises from 0", most=1)
    free_bits: float = setting(0.0, "nats a latent unit that cost nothing", option=True)
    conditioning: str = setting("modulation", "how labels enter encoder and decoder", names=CONDITIONINGS, option=True)
    posterior: str = setting("diagonal", "its covariance; full for a flat latent", names=POSTERIORS, option=True)
    wrong_label_share: float = setting(
        0.0, "share of training images sent in with a wrong label", most=0.9999, option=True
    )
    reconstruct_all: bool = setting(False, "whether these are reconstructed, too, under their right label")
    classifier_weight: float = setting(0.0, "of the feature network's reading of relabelled images", option=True)
    layout_weight: float = setting(0.0, "of the coarse likeness of relabelled images to their input", option=True)
    view_noise: float = setting(
        0.0, "standard deviation of noise on what the feature network sees, which is then moved, too", option=True
    )
    adversary_weight: float = setting(0.0, "of the adversary; 0 trains none", option=True)
    adversary: str = setting("base", "size of the adversary", names=ADVERSARIES)
    average: float = setting(
        0.0, "momentum of averaged weights, less in a short training; 0 for none", most=0.9999, option=True
    )
    beta_1: float = setting(0.9, "of Adam", most=0.9999)
    beta_2: float = setting(0.999, "of Adam", most=0.9999)
    batch_size: int = setting(128, "images a step, over all devices", 1, option=True)
    images: int = setting(3_000_000, "budget of images seen in training")
    epochs: int = setting(0, "instead of the model's budget of images, or the preset's", option={"type": runs.whole(1)})
    learning_rate: float = setting(2e-3, "peak of the one-cycle schedule", option=True)
    flip: bool = setting(
        False,
        "mirror training images left to right at random",
        option={"help": "mirror training images left to right at random (default: the model's; of your own data no)"},
    )
    train_limit: int = setting(0, "use only so many examples of the train split; 0 for all")
    test_limit: int = setting(0, "and of the test split")
    importance_samples: int = setting(500, "of the importance-weighted bound; 0 leaves it out")
    wrong_labels: int = setting(9, "that each test image is sent in with; fewer where there are fewer", 1, 9)
    samples_per_class: int = setting(1000, "drawn for the judges", 1)

    def __post_init__(self):
        check(self)
        if len(self.latent_shape) not in (1, 3) or min(self.latent_shape) < 1:
            raise ValueError(
                "latent_shape must be one number of at least 1, or three. "
                f"Received: latent_shape={list(self.latent_shape)}"
            )
        if self.posterior == "full" and len(self.latent_shape) == 3:
            raise ValueError(
                "posterior must be 'diagonal' for a latent of height, width and channels. "
                f"Received: posterior='full', latent_shape={list(self.latent_shape)}"
            )

    @property
    def uses_features(self):
        """Whether training needs the feature network."""
        return self.likelihood == "features" or bool(self.classifier_weight)

    def epochs_for(self, train_images):
        """Epochs that make up the budget for a training set of this size: one to `MOST_EPOCHS`."""
        return self.epochs or min(MOST_EPOCHS, max(1, round(self.images / train_images)))

    def record(self):
        """The recipe as a flat dictionary."""
        return asdict(self)


DIGITS = Recipe(
    network="digits", posterior="full", wrong_label_share=0.125, reconstruct_all=True, classifier_weight=5.0,
    view_noise=0.05, batch_size=64, images=1_300_000, average=0.999,
)  # fmt: skip
COLOUR = Recipe(
    likelihood="coupled_discretized_logistic", latent_shape=(128,), batch_size=32, flip=True, importance_samples=0,
    average=0.999, images=450_000,
)  # fmt: skip
FEATURES = replace(
    COLOUR, network="colour", likelihood="features", kl_weight=0.5, wrong_label_share=0.5, classifier_weight=5.0,
    layout_weight=2500.0, view_noise=0.05, batch_size=64, learning_rate=5e-4,
)  # fmt: skip
CONTROL = replace(
    FEATURES,
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
    "glyphs": {"standard": replace(DIGITS, network="small", images=300_000)},
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
    "control": {"network": "colour-wide", "images": 720_000, "classifier_weight": 7.5},
    "features": {"network": "colour-wide", "images": 720_000},
    "density": {
        "network": "wide",
        "latent_shape": (8, 8, 32),
        "batch_size": 64,
        "learning_rate": 1e-3,
        "images": 720_000,
    },
    "plain": {"network": "wide", "batch_size": 64, "learning_rate": 1e-3, "images": 720_000},
    "standard": {"network": "base", "batch_size": 128, "images": 6_000_000},
}
"""What the `gpu` preset changes, by model. `control`'s smaller network of the `cpu` preset would keep less of an image
under the greater weight of the classifier."""

HELD_OUT = {"smoke": 100, "cpu": 5_000, "gpu": 5_000}
"""Training images held out, by preset."""

BUILTIN_SIZES = {"smoke": (500, 100), "cpu": (20_000, 2_000), "gpu": (60_000, 10_000)}
"""Train and test images of the procedural datasets, by preset; a tenth of the train images is held out there."""


def make_recipe(dataset, model, preset, overrides, image_shape=None):
    """The recipe of one model under a preset; what no model of the dataset can be built with is a `ValueError`.

    Args:
        dataset, model: keys of `MODELS`.
        overrides: fields of `Recipe` that the user set; `latent_dim`, one number, becomes the latent's shape: of a
            spatial latent it is the number of channels.
        image_shape: of other images than the dataset's, which its models are to be trained on.
    """
    recipe = replace(MODELS[dataset][model], **PRESETS[preset], **(ON_GPU[model] if preset == "gpu" else {}))
    if image_shape and image_shape[-1] == 1:  # kept grey, where MNIST's model would draw them black and white
        recipe = replace(recipe, likelihood="bernoulli_grey")
    overrides = dict(overrides)
    if "latent_dim" in overrides:
        overrides["latent_shape"] = (*recipe.latent_shape[:-1], overrides.pop("latent_dim"))
    recipe = replace(recipe, **overrides)
    if recipe.latent_shape == (1,):  # one unit has no covariance
        recipe = replace(recipe, posterior="diagonal")
    if recipe.likelihood == "features":  # which compares images under their right labels alone
        recipe = replace(recipe, reconstruct_all=False)
    height, width, _ = image_shape or SHAPES[dataset]
    if recipe.network in THREE_HALVINGS and (height % 8 or width % 8):
        raise ValueError(
            f"network must be another for images of {height} x {width} pixels, which it can't halve three times. "
            f"Received: network={recipe.network!r}"
        )
    if len(recipe.latent_shape) == 3 and recipe.network in THREE_HALVINGS:
        raise ValueError(
            f"latent_shape must be one number for this network. "
            f"Received: network={recipe.network!r}, latent_shape={list(recipe.latent_shape)}"
        )
    if len(recipe.latent_shape) == 3 and tuple(recipe.latent_shape[:2]) != (height // 4, width // 4):
        raise ValueError(
            f"latent_shape must be one number, or [{height // 4}, {width // 4}, channels] for {dataset}. "
            f"Received: latent_shape={list(recipe.latent_shape)}"
        )
    return recipe
