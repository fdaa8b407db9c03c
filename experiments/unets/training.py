"""The data and the compiled model of one U-Net training."""

import keras

from experiments.harness.data import datasets
from experiments.harness.running.schedules import OneCycle
from experiments.unets.recipes import BUILTIN_SIZES, ENCODER, TUTORIAL
from experiments.unets.scoring import TrimapScoring
from tfseg import shapes
from tfseg.encoders import PREFIX
from tfseg.optimizers import RatedAdamW
from tfseg.tutorial import build_tutorial_unet
from tfseg.unet import build_unet

VALIDATION_SEED = 0  # of the split, the same for every model, so that they compare


class PetData:
    """The three splits of a segmentation dataset, and what identifies them.

    Args:
        choice: a `datasets.Choice`.
        preset: decides the size of the procedural dataset.
        train_limit, test_limit: use only the first examples of each split; 0 for all.
    """

    def __init__(self, choice, preset, train_limit=0, test_limit=0):
        self.name = choice.name
        splits = {
            "train": f"train[:{train_limit}]" if train_limit else "train",
            "test": f"test[:{test_limit}]" if test_limit else "test",
        }
        if choice.source == "builtin":
            splits = dict(zip(splits, splits, strict=True))  # its sizes are the preset's already
        sizes = dict(zip(splits, BUILTIN_SIZES[preset], strict=True))

        def load(decoders=None):
            return datasets.load_splits(choice, splits, lambda split: shapes.examples(split, sizes[split]), decoders)

        names_only = datasets.only("file_name") if choice.source != "builtin" else None
        self.fingerprint = datasets.fingerprint(load(names_only), "file_name", choice)
        loaded = load()
        count = self.fingerprint["train"]["size"]
        chosen, held_out = datasets.split_validation(count, 0.1, VALIDATION_SEED)
        self.train = datasets.take(loaded["train"], chosen)
        self.validation = datasets.take(loaded["train"], held_out)
        self.test = loaded["test"]
        self.sizes = {"train": len(chosen), "validation": len(held_out), "test": self.fingerprint["test"]["size"]}

    def record(self):
        """Name, sizes and fingerprint, for `record.json`."""
        return {"name": self.name, **self.sizes, "fingerprint": self.fingerprint}

    def __str__(self):
        train, validation, test = self.sizes.values()
        return (
            f"{self.name}: {train + validation} train images ({validation} of them for validation), {test} test images"
        )


def build_model(recipe, seed, steps, scoring=None, xla=False, synchronized=False):
    """Builds and compiles the model of a recipe.

    Args:
        recipe: a `Recipe`.
        seed: of the initial weights and of dropout.
        steps: optimizer steps in all, which the one-cycle schedule spans.
        scoring: how it is scored, as in `experiments.unets.scoring`; by default, on trimaps by its foreground.
        xla: compile the step with XLA.
        synchronized: take batch statistics over all replicas of `tf.distribute`.
    """
    keras.utils.set_random_seed(seed)
    scoring = scoring or TrimapScoring("foreground")
    normalization = "sync_batch" if synchronized and recipe.normalization == "batch" else recipe.normalization
    model = _network(recipe, scoring.channels(recipe), normalization)
    loss, metric = scoring.compiled(recipe)
    model.compile(_optimizer(recipe, model, steps), loss, metrics=[metric], jit_compile=xla)
    model.optimizer.build(model.trainable_variables)
    return model


def _network(recipe, channels, normalization):
    shape = (recipe.image_size, recipe.image_size, 3)
    parts = recipe.variant
    if parts.is_tutorial:
        return build_tutorial_unet(shape, recipe.filters, channels, learn_statistics=parts.network != TUTORIAL)
    way_down = {"down": parts.down}
    if parts.network == ENCODER:
        way_down = {"encoder": parts.down, "encoder_weights": parts.weights}
    return build_unet(
        shape,
        channels,
        recipe.filters,
        recipe.depth,
        up=parts.up,
        normalization=normalization,
        dropout=recipe.dropout,
        **way_down,
    )


def _optimizer(recipe, model, steps):
    rate = OneCycle(recipe.learning_rate, steps) if recipe.one_cycle else recipe.learning_rate
    momentum = max(0.0, min(recipe.ema, 1 - 10 / steps))  # or a short training's average would be of its first weights
    averaging = {"use_ema": momentum > 0, "ema_momentum": momentum}
    if not recipe.weight_decay:
        return keras.optimizers.Adam(rate, **averaging)
    slow = recipe.encoder_rate != 1
    factors = {PREFIX: recipe.encoder_rate} if slow else {}
    optimizer = RatedAdamW(rate, weight_decay=recipe.weight_decay, factors=factors, **averaging)
    encoder = [variable for variable in model.trainable_variables if slow and variable.path.startswith(PREFIX)]
    optimizer.exclude_from_weight_decay(encoder, ["bias", "gamma", "beta"])
    return optimizer
