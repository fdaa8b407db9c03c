"""What the benchmark trains: for each workload the model and the data of this project, and those of a plain program.

The plain program is the article's loop under Keras's defaults: `from_tensor_slices`, `map` and `batch` without
parallel calls, cache or prefetching, Adam, `compile` as it comes. Images are noise; speed doesn't depend on them.
"""

import keras
import numpy as np
import tensorflow as tf

from experiments.cvaes import training as cvae_training
from experiments.cvaes.recipes import MODELS, SHAPES
from experiments.cvaes.recipes import make_recipe as make_cvae_recipe
from experiments.nmts import training as nmt_training
from experiments.nmts.recipes import make_recipe as make_nmt_recipe
from experiments.unets import training as unet_training
from experiments.unets.recipes import TUTORIAL
from experiments.unets.recipes import make_recipe as make_unet_recipe
from tfcvae.data import TrainingData as LabelledTrainingData
from tfcvae.model import CVAE
from tfnmt.batches import Pairs, TrainingBatches
from tfnmt.flops import count_flops as count_transformer_flops
from tfnmt.model import Transformer
from tfnmt.tokenizer import SPECIAL
from tfseg.data import TrainingData
from tfseg.flops import count_flops
from tfseg.targets import TARGETS, target_from_trimap
from tfseg.tutorial import build_tutorial_unet
from tfseg.unet import build_unet

STEPS = 1_000_000  # of the one-cycle schedule, which no benchmark reaches the end of
CVAE_BATCHES, NMT_BATCHES = 160, 64  # in an epoch
SENTENCE = 24  # tokens, ends included: nine in ten of Multi30k's sentences are no longer


class Workload:
    """A network and what it is trained on, by this project and by a plain program.

    A subclass has `name`, `image_shape`, `batch_size`, and the methods
        model(xla): the compiled model of this project.
        data(): the data of this project, by epoch.
        plain_model(**compile_options): the same network, compiled as a plain program does.
        plain_data(): the same images as a plain program reads them, a dataset without end.
        flops(model): of a forward pass of one image, or of one pair of sentences.
    """

    unit = "images"  # what is counted

    def inputs(self, batch):
        """What prediction takes of a training batch."""
        return batch[0]


class UNet(Workload):
    """A U-Net on noise.

    The recipe is one of `unets.recipes`; an epoch has so many batches.
    """

    def __init__(self, recipe, batches):
        self.recipe, self.batch_size = recipe, recipe.batch_size
        self.image_shape = (recipe.image_size, recipe.image_size, 3)
        variant = recipe.variant
        self.name = "The article's U-Net" if variant.is_tutorial else f"U-Net, {variant.down}, {variant.up}"
        self.name += f", {recipe.filters} filters at the first level"
        random, stored = np.random.default_rng(0), recipe.image_size * 5 // 4
        count = batches * recipe.batch_size
        self.images = random.integers(0, 256, (count, stored, stored, 3), "uint8")
        self.trimaps = random.integers(1, 4, (count, stored, stored, 1), "uint8")

    def model(self, xla):
        return unet_training.build_model(self.recipe, 0, STEPS, xla=xla)

    def data(self):
        examples = {"image": self.images, "segmentation_mask": self.trimaps}
        return TrainingData(
            tf.data.Dataset.from_tensor_slices(examples),
            self.recipe.image_size,
            self.batch_size,
            self.recipe.target,
            augmentation=self.recipe.augmentation,
        )

    def plain_model(self, **compile_options):
        recipe, channels = self.recipe, TARGETS[self.recipe.target]
        if recipe.variant.is_tutorial:
            model = build_tutorial_unet(self.image_shape, recipe.filters, channels)
        else:
            parts = (recipe.depth, recipe.variant.down, recipe.variant.up, recipe.normalization, recipe.dropout)
            own = build_unet(self.image_shape, channels, recipe.filters, *parts)
            model = keras.models.model_from_json(own.to_json())  # with Keras's own batch normalization
        if channels == 1:
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
        else:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"], **compile_options)
        return model

    def plain_data(self):
        size = self.image_shape[:2]

        def prepare(image, trimap):
            trimap = tf.image.resize(trimap, size, method="nearest")
            return tf.image.resize(image, size) / 255.0, target_from_trimap(trimap, self.recipe.target)

        data = tf.data.Dataset.from_tensor_slices((self.images, self.trimaps))
        return data.map(prepare).batch(self.batch_size, drop_remainder=True).repeat()

    def flops(self, model):
        return count_flops(model)


class LabelledNoise(Workload):
    """A conditional VAE on noise.

    `dataset` and `model` are the recipe's names in `cvaes.recipes.MODELS`; images have the shape of the dataset's.
    """

    def __init__(self, recipe, dataset, model):
        self.recipe, self.batch_size = recipe, recipe.batch_size
        self.image_shape = SHAPES[dataset]
        self.name = f"Conditional VAE {dataset}/{model}, {recipe.network} network, {recipe.likelihood}"
        random, count = np.random.default_rng(0), CVAE_BATCHES * recipe.batch_size
        self.images = random.integers(0, 256, (count, *self.image_shape), "uint8")
        self.labels = random.integers(0, cvae_training.CLASSES, count)

    def model(self, xla):
        return cvae_training.build_model(self.recipe, self.image_shape, 0, STEPS, xla)

    def data(self):
        examples = tf.data.Dataset.from_tensor_slices({"image": self.images, "label": self.labels})
        return LabelledTrainingData(examples, self.batch_size, flip=self.recipe.flip)

    def plain_model(self, **compile_options):
        recipe = self.recipe
        sizes = (recipe.latent_shape, recipe.network, recipe.label_dim, recipe.likelihood, recipe.prior)
        options = {"conditioning": recipe.conditioning, "posterior": recipe.posterior}
        model = CVAE(self.image_shape, cvae_training.CLASSES, *sizes, **options)
        model.compile(keras.optimizers.Adam(), **compile_options)
        return model

    def plain_data(self):
        data = tf.data.Dataset.from_tensor_slices((self.images, self.labels))
        data = data.map(lambda image, label: (tf.cast(image, tf.float32) / 255.0, label))
        return data.batch(self.batch_size, drop_remainder=True).repeat()

    def flops(self, model):
        return count_flops(model.encoder) + count_flops(model.decoder)

    def inputs(self, batch):
        return batch


class Sentences(Workload):
    """A transformer on random tokens: all sentences of a batch are as long as it is wide, so nothing is padding."""

    unit = "sentences"

    def __init__(self, recipe):
        self.recipe, random = recipe, np.random.default_rng(0)
        self.image_shape = (SENTENCE,)
        self.name = f"Transformer, {recipe.layers} + {recipe.layers} blocks, d_model {recipe.width}, "
        self.name += f"d_ff {recipe.feed_forward}"
        rows = recipe.batch_tokens // SENTENCE
        sides = random.integers(SPECIAL, recipe.vocabulary, (2, NMT_BATCHES * rows, SENTENCE - 1)).tolist()
        self.pairs = Pairs(*sides, recipe.batch_tokens, widths=(SENTENCE,), least_rows=1)
        self.batch_size = self.pairs.rows(SENTENCE)

    def model(self, xla):
        return nmt_training.build_model(self.recipe, self.recipe.vocabulary, 0, STEPS, xla)

    def data(self):
        return TrainingBatches(self.pairs)

    def plain_model(self, **compile_options):
        names = ("layers", "width", "heads", "feed_forward", "dropout")
        model = Transformer(self.recipe.vocabulary, **{name: getattr(self.recipe, name) for name in names})
        model.compile(keras.optimizers.Adam(), **compile_options)
        return model

    def plain_data(self):
        batches = [self.pairs.batch(*batch) for (bucket,) in [self.pairs.batches()] for batch in bucket]
        arrays = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
        return tf.data.Dataset.from_tensor_slices(arrays).batch(self.batch_size, drop_remainder=True).repeat()

    def flops(self, model):
        return count_transformer_flops(model, SENTENCE, SENTENCE)


def make_workload(name, sizes):
    """A workload by its name in `benchmarks.plan.WORKLOADS`, as large as `sizes`, a `Sizes`, says."""
    if name == "unet":
        return UNet(sizes.unet_recipe(), sizes.unet_batches)
    if name == "article":
        return UNet(make_unet_recipe("cpu", TUTORIAL, {"image_size": sizes.image_size}), sizes.unet_batches)
    if name == "nmt":
        return Sentences(make_nmt_recipe("multi30k", "assignment", "cpu", {"batch_tokens": sizes.nmt_tokens}))
    dataset = name.removeprefix("cvae-")
    model = next(name for name, recipe in MODELS[dataset].items() if recipe.likelihood != "features")
    elbo_alone = {"wrong_label_share": 0.0, "classifier_weight": 0.0, "average": 0.0}  # as the plain program has it
    return LabelledNoise(make_cvae_recipe(dataset, model, sizes.cvae_preset, elbo_alone), dataset, model)
