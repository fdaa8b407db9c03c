"""The data and the compiled model of one conditional VAE."""

import keras

from experiments.cvaes.recipes import BUILTIN_SIZES, SHAPES, VALIDATION
from experiments.harness.data import datasets
from experiments.harness.running.schedules import OneCycle
from tfcvae import glyphs
from tfcvae.adversary import build_adversary
from tfcvae.data import as_inputs, binarise, evaluation_data, to_arrays
from tfcvae.model import CVAE
from tfcvae.training import LabelControl

VALIDATION_SEED = 0  # of the split, the same for every model, so that they compare
BINARISATION_SEED = 0  # of the black-and-white validation and test images, drawn once
CLASSES = 10

DIGITS = tuple("0123456789")
CLASS_NAMES = {
    "mnist": DIGITS,
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "glyphs": DIGITS,
    "glyphs-colour": DIGITS,
}


class LabelledImages:
    """The three splits of a dataset of labelled images, and what identifies them.

    Args:
        choice: a `datasets.Choice`.
        preset: decides how many images are held out, and the size of the procedural dataset.
        train_limit, test_limit: use only the first examples of each split; 0 for all.

    Attributes:
        train, validation: `tf.data.Dataset` of TFDS examples.
        image_shape, class_names: `(height, width, channels)`; a string a class.
        family: the known dataset whose models and classifiers fit these images: this one.
        sizes: examples of `train`, `validation` and `test`.
    """

    def __init__(self, choice, preset, train_limit=0, test_limit=0):
        self.name, self.image_shape, self.class_names = choice.name, SHAPES[choice.name], CLASS_NAMES[choice.name]
        self.family = choice.name
        splits = {
            "train": f"train[:{train_limit}]" if train_limit else "train",
            "test": f"test[:{test_limit}]" if test_limit else "test",
        }
        held_out = VALIDATION[preset]
        if choice.source == "builtin":
            splits = dict(zip(splits, splits, strict=True))  # its sizes are the preset's already
            held_out = 0.1
        sizes = dict(zip(splits, BUILTIN_SIZES[preset], strict=True))
        kind = "colour" if choice.name == "glyphs-colour" else "grey"

        def draw(split):
            return glyphs.examples(split, sizes[split], kind=kind)

        loaded = datasets.load_splits(choice, splits, draw)
        if choice.source == "builtin":
            loaded = {split: examples.cache() for split, examples in loaded.items()}
            labels = loaded
        else:
            labels = datasets.load_splits(choice, splits, decoders=datasets.only("label"))
        self.fingerprint = datasets.fingerprint(labels, "label", choice)
        chosen, held_out = datasets.split_validation(self.fingerprint["train"]["size"], held_out, VALIDATION_SEED)
        self.train = datasets.take(loaded["train"], chosen)
        self.validation = datasets.take(loaded["train"], held_out)
        self._test = loaded["test"]
        self.sizes = {"train": len(chosen), "validation": len(held_out), "test": self.fingerprint["test"]["size"]}

    def record(self):
        """Name, sizes, fingerprint and the seed of the images drawn black or white, for `record.json`."""
        seed = {"binarisation_seed": BINARISATION_SEED}
        return {"name": self.name, **self.sizes, "fingerprint": self.fingerprint, **seed}

    def validation_batches(self, binarises, batch_size=250, machine=None):
        """Batches of validation images as a `CVAE` takes them, drawn black or white once where `binarises`.

        Args:
            machine: a `hardware.Hardware` whose devices share each batch; one device by default.
        """
        examples = self.validation
        if machine:
            examples, batch_size = machine.shareable(examples, batch_size)
        return as_inputs(evaluation_data(examples, batch_size, BINARISATION_SEED if binarises else None))

    def arrays(self, split, binarises=False):
        """All images and labels of `"validation"` or `"test"`: float32 `(n, h, w, c)` in [0, 1], int32 `(n,)`."""
        images, labels = to_arrays(self._test if split == "test" else self.validation)
        return (binarise(images, BINARISATION_SEED) if binarises else images), labels

    def __str__(self):
        train, validation, test = self.sizes.values()
        return (
            f"{self.name}: {train + validation:,} train images ({validation:,} of them for validation), "
            f"{test:,} test images"
        )


def build_model(recipe, image_shape, seed, steps, xla=False, feature_network=None, classes=CLASSES):
    """Builds and compiles the conditional VAE of a recipe.

    Args:
        recipe: a `Recipe`.
        image_shape: `(height, width, channels)`.
        seed: of the initial weights and of the noise.
        steps: optimizer steps in all, which the one-cycle schedule and the KL warm-up follow.
        xla: compile the step with XLA.
        feature_network: where the recipe uses one; without it the model is not compiled, which is enough to look at it.
        classes: number of classes.
    """
    keras.utils.set_random_seed(seed)
    names = ("latent_shape", "network", "label_dim", "likelihood", "prior", "kl_weight", "free_bits", "conditioning")
    options = {name: getattr(recipe, name) for name in names}
    model = CVAE(image_shape, classes, kl_warmup_steps=round(recipe.kl_warmup * steps), seed=seed, **options)
    if recipe.uses_features and feature_network is None:
        return model
    names = ("classifier_weight", "layout_weight", "adversary_weight")
    control = LabelControl(recipe.wrong_label_share, **{name: getattr(recipe, name) for name in names})
    helpers = {"feature_network": feature_network}
    if recipe.adversary_weight:
        helpers["adversary"] = build_adversary(image_shape, classes, recipe.adversary)
        helpers["adversary_optimizer"] = _adam(recipe, steps)
    averages = {"use_ema": True, "ema_momentum": recipe.average} if recipe.average else {}
    model.compile(_adam(recipe, steps, **averages), control, **helpers, jit_compile=xla)
    model.optimizer.build(model.trainable_variables)
    return model


def _adam(recipe, steps, **averages):
    rate = OneCycle(recipe.learning_rate, steps)
    return keras.optimizers.Adam(rate, recipe.beta_1, recipe.beta_2, global_clipnorm=1e4, **averages)
