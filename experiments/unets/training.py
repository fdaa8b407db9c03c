"""The data and the compiled model of one U-Net training."""

import keras

from experiments.harness.data.splits import Splits, limits, load
from experiments.harness.running.schedules import OneCycle, averaging
from experiments.unets.recipes import BUILTIN_SIZES, ENCODER, TUTORIAL
from experiments.unets.scoring import TrimapScoring
from tfseg import shapes
from tfseg.encoders import PREFIX
from tfseg.optimizers import RatedAdamW
from tfseg.tutorial import build_tutorial_unet
from tfseg.unet import build_unet


def trimaps(choice, preset, train_limit=0, test_limit=0):
    """The `Splits` of a dataset of trimaps.

    `preset` decides the size of the procedural one. The limits take only the first examples of each split; 0 for all.
    """
    sizes = dict(zip(("train", "test"), BUILTIN_SIZES[preset], strict=True))

    def draw(split):  # whose sizes are the preset's already
        return shapes.examples(split, sizes[split])

    loaded = load(choice, "file_name", builtin=draw, at_most=limits(train_limit, test_limit))
    return Splits(choice.name, *loaded)


def build_model(recipe, seed, steps, scoring=None, xla=False, synchronized=False):
    """Builds and compiles the model of a recipe; one that trains on images of half the side, too, takes any size.

    Args:
        seed: of the initial weights and of dropout.
        steps: optimizer steps in all, which the one-cycle schedule spans.
        scoring: how it is scored, as in `experiments.unets.scoring`; by default, on trimaps by its foreground.
        xla: compile the step with XLA.
        synchronized: take batch statistics over all replicas of `tf.distribute`.
    """
    keras.utils.set_random_seed(seed)
    scoring = scoring or TrimapScoring("foreground")
    normalization = "sync_batch" if synchronized and recipe.normalization == "batch" else recipe.normalization
    model = _network(recipe, scoring.channels(recipe), normalization, None if recipe.half_size else recipe.image_size)
    loss, metric = scoring.compiled(recipe)
    model.compile(_optimizer(recipe, model, steps), loss, metrics=[metric], jit_compile=xla)
    model.optimizer.build(model.trainable_variables)
    return model


def of_one_size(model, recipe):
    """The same network and weights for images of the recipe's size alone, to which photos then are resized."""
    fixed = _network(recipe, model.output_shape[-1], recipe.normalization, recipe.image_size)
    fixed.set_weights(model.get_weights())
    return fixed


def _network(recipe, channels, normalization, side):
    shape = (side, side, 3)
    parts = recipe.variant
    if parts.is_tutorial:
        return build_tutorial_unet(shape, recipe.filters, channels, learn_statistics=parts.network != TUTORIAL)
    way_down = {"down": parts.down}
    if parts.network == ENCODER:
        way_down = {"encoder": parts.down, "encoder_weights": parts.weights, "encoder_scale": recipe.encoder_scale}
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
    averages = averaging(recipe.ema, steps)
    if not recipe.weight_decay and recipe.encoder_rate == 1:
        return keras.optimizers.Adam(rate, **averages)
    slow = recipe.encoder_rate != 1
    factors = {PREFIX: recipe.encoder_rate} if slow else {}
    optimizer = RatedAdamW(rate, weight_decay=recipe.weight_decay, factors=factors, **averages)
    encoder = [variable for variable in model.trainable_variables if slow and variable.path.startswith(PREFIX)]
    optimizer.exclude_from_weight_decay(encoder, ["bias", "gamma", "beta"])
    return optimizer
