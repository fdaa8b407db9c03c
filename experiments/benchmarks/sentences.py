"""The transformer that the benchmark trains, beside a plain program's; see `benchmarks.networks`."""

import keras
import numpy as np
import tensorflow as tf

from experiments.nmts import training
from experiments.nmts.recipes import make_recipe
from tfnmt.batches import Pairs, TrainingBatches
from tfnmt.flops import count_flops
from tfnmt.model import Transformer
from tfnmt.tokenizer import SPECIAL

STEPS = 1_000_000  # of the one-cycle schedule, which no benchmark reaches the end of
BATCHES = 64  # in an epoch
SENTENCE = 24  # tokens, ends included: nine in ten of Multi30k's sentences are no longer


class Sentences:
    """A transformer on random tokens: all sentences of a batch are as long as it is wide, so that nothing is padding.

    Args:
        recipe: a `Recipe` of `nmts.recipes`.
    """

    unit = "sentences"

    def __init__(self, recipe):
        self.recipe, random = recipe, np.random.default_rng(0)
        self.image_shape = (SENTENCE,)
        self.name = f"Transformer, {recipe.layers} + {recipe.layers} blocks, d_model {recipe.width}, "
        self.name += f"d_ff {recipe.feed_forward}"
        rows = recipe.batch_tokens // SENTENCE
        sides = random.integers(SPECIAL, recipe.vocabulary, (2, BATCHES * rows, SENTENCE - 1)).tolist()
        self.pairs = Pairs(*sides, recipe.batch_tokens, widths=(SENTENCE,), least_rows=1)
        self.batch_size = self.pairs.rows(SENTENCE)

    def model(self, xla):
        """The compiled model of this project."""
        return training.build_model(self.recipe, self.recipe.vocabulary, 0, STEPS, xla)

    def data(self):
        """The data of this project, by epoch."""
        batches = TrainingBatches(self.pairs)
        batches.batch_size = self.batch_size
        return batches

    def plain_model(self, **compile_options):
        """The same network, compiled as a plain program does."""
        names = ("layers", "width", "heads", "feed_forward", "dropout")
        model = Transformer(self.recipe.vocabulary, **{name: getattr(self.recipe, name) for name in names})
        model.compile(keras.optimizers.Adam(), **compile_options)
        return model

    def plain_data(self):
        """The same sentences as a plain program reads them: no end."""
        batches = [self.pairs.batch(*batch) for (bucket,) in [self.pairs.batches()] for batch in bucket]
        arrays = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
        return tf.data.Dataset.from_tensor_slices(arrays).batch(self.batch_size, drop_remainder=True).repeat()

    def flops(self, model):
        """Of a forward pass of one pair of sentences."""
        return count_flops(model, SENTENCE, SENTENCE)

    def inputs(self, batch):
        """What prediction takes of a training batch, and what it gives back: a tensor of `predict`'s outputs."""
        return batch[0], lambda outputs: outputs


def make_sentences(batch_tokens):
    """The assignment's network on batches of so many tokens."""
    return Sentences(make_recipe("multi30k", "assignment", "cpu", {"batch_tokens": batch_tokens}))
