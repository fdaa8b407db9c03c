"""The data and the compiled model of one conditional VAE."""

import keras

from experiments.cvaes.recipes import BUILTIN_SIZES, HELD_OUT, SHAPES
from experiments.harness.data.splits import VALIDATION, Splits, limits, load
from experiments.harness.running.schedules import OneCycle, averaging
from tfcvae import glyphs
from tfcvae.adversary import build_adversary
from tfcvae.data import as_inputs, binarise, evaluation_data, to_arrays
from tfcvae.model import CVAE
from tfcvae.training import LabelControl

BINARISATION_SEED = 0  # of the black-and-white validation and test images, drawn once
CLASSES = 10

LEAST_SPANS = 5
"""Of the averages in a training, as many as leave the `cpu` preset's 7,000 steps on CIFAR-10 a momentum of 0.999."""

DIGITS = tuple("0123456789")
CLASS_NAMES = {
    "mnist": DIGITS,
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "glyphs": DIGITS,
    "glyphs-colour": DIGITS,
}


class Images(Splits):
    """The three splits of a dataset of labelled images: TFDS examples.

    Attributes:
        image_shape, class_names: `(height, width, channels)`; a string a class.
        family: the known dataset whose models and classifiers fit these images.
        flip: whether training mirrors images at random, whatever the recipes of models and classifiers say; None leaves
            it to them.
    """

    def __init__(self, name, splits, fingerprint, image_shape, class_names, family, flip=None):
        super().__init__(name, splits, fingerprint)
        self.image_shape, self.class_names, self.family, self.flip = image_shape, class_names, family, flip

    def record(self):
        """Name, sizes, fingerprint and the seed of the images drawn black or white, for `record.json`."""
        return super().record() | {"binarisation_seed": BINARISATION_SEED}

    def validation_batches(self, binarises, batch_size=250, machine=None):
        """Batches of validation images as a `CVAE` takes them, drawn black or white once where `binarises`.

        The devices of a `machine`, a `hardware.Hardware`, share each batch; without it there is one device.
        """
        examples = self.validation
        if machine:
            examples, batch_size = machine.shareable(examples, batch_size)
        return as_inputs(evaluation_data(examples, batch_size, BINARISATION_SEED if binarises else None))

    def arrays(self, split, binarises=False):
        """All images and labels of `"validation"` or `"test"`: float32 `(n, h, w, c)` in [0, 1], int32 `(n,)`."""
        images, labels = to_arrays(self.test if split == "test" else self.validation)
        return (binarise(images, BINARISATION_SEED) if binarises else images), labels


class LabelledImages(Images):
    """The images of a known dataset, a key of `SHAPES`.

    `preset` decides how many images are held out, and the size of the procedural dataset. The limits take only the
    first examples of each split; 0 for all.
    """

    def __init__(self, choice, preset, train_limit=0, test_limit=0):
        sizes = dict(zip(("train", "test"), BUILTIN_SIZES[preset], strict=True))
        kind = "colour" if choice.name == "glyphs-colour" else "grey"

        def draw(split):
            return glyphs.examples(split, sizes[split], kind=kind).cache()

        held_out = VALIDATION if choice.source == "builtin" else HELD_OUT[preset]
        loaded = load(choice, "label", held_out, draw, limits(train_limit, test_limit))
        super().__init__(choice.name, *loaded, SHAPES[choice.name], CLASS_NAMES[choice.name], choice.name)


def build_model(recipe, image_shape, seed, steps, xla=False, feature_network=None, classes=CLASSES):
    """Builds and compiles the conditional VAE of a recipe.

    Args:
        image_shape: `(height, width, channels)`.
        seed: of the initial weights and of the noise.
        steps: optimizer steps in all, which the one-cycle schedule and the KL warm-up follow.
        xla: compile the step with XLA.
        feature_network: where the recipe uses one; without it the model is not compiled, which is enough to look at it.
    """
    keras.utils.set_random_seed(seed)
    names = ("latent_shape", "network", "label_dim", "likelihood", "prior", "kl_weight", "free_bits", "conditioning")
    names += ("posterior",)
    options = {name: getattr(recipe, name) for name in names}
    model = CVAE(image_shape, classes, kl_warmup_steps=round(recipe.kl_warmup * steps), seed=seed, **options)
    if recipe.uses_features and feature_network is None:
        return model
    names = ("reconstruct_all", "classifier_weight", "layout_weight", "adversary_weight", "view_noise")
    control = {name: getattr(recipe, name) for name in names}
    control = LabelControl(recipe.wrong_label_share, **control, mirrored_views=recipe.flip)
    helpers = {"feature_network": feature_network}
    if recipe.adversary_weight:
        helpers["adversary"] = build_adversary(image_shape, classes, recipe.adversary)
        helpers["adversary_optimizer"] = _adam(recipe, steps)
    optimizer = _adam(recipe, steps, **averaging(recipe.average, steps, LEAST_SPANS))
    model.compile(optimizer, control, **helpers, jit_compile=xla)
    model.optimizer.build(model.trainable_variables)
    return model


def _adam(recipe, steps, **averages):
    rate = OneCycle(recipe.learning_rate, steps)
    return keras.optimizers.Adam(rate, recipe.beta_1, recipe.beta_2, global_clipnorm=1e4, **averages)
