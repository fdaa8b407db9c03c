"""The compiled model of one translation training."""

import keras

from experiments.harness.running.schedules import OneCycle, averaging
from tfnmt.model import Transformer
from tfnmt.optimizers import Adam


def build_model(recipe, vocabulary_size, seed, steps, xla=False):
    """Builds and compiles the transformer of a recipe.

    Adam has the decay rates of Vaswani et al. 2017; gradients are clipped to a global norm of 1.

    Args:
        seed: of the initial weights and of dropout.
        steps: optimizer steps in all, which the one-cycle schedule spans.
        xla: compile the step with XLA.
    """
    keras.utils.set_random_seed(seed)
    names = ("layers", "width", "heads", "feed_forward", "dropout", "norm", "label_smoothing")
    model = Transformer(vocabulary_size, **{name: getattr(recipe, name) for name in names})
    rate = OneCycle(recipe.learning_rate, steps, recipe.warmup)
    optimizer = Adam(rate, 0.9, 0.98, 1e-9, global_clipnorm=1.0, **averaging(recipe.ema, steps))
    model.compile(optimizer, jit_compile=xla)
    optimizer.build(model.trainable_variables)
    return model
