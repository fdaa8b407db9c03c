"""What a search for a U-Net's hyperparameters tunes, and what its trials train."""

import copy
import functools
import shlex
from dataclasses import replace

import keras_tuner

from experiments.harness.running.experiment import Training
from experiments.searches.task import Task
from experiments.unets import sources
from experiments.unets.recipes import PRESETS, TUNED, VARIANT_FIELDS, Variant
from experiments.unets.scoring import on_data, scoring_of
from experiments.unets.training import build_model
from tfseg.blocks import DOWN_BLOCKS, UP_BLOCKS
from tfseg.classes import IGNORE
from tfseg.data import TrainingData, evaluation_data
from tfseg.losses import LOSSES
from tfseg.masks import told

PLAIN = "none"  # a search space has no None


class UNetTask(Task):
    """Blocks, loss and training of a U-Net; the preset's recipe is the rest.

    Args:
        choice, preset, machine: as of `Task`.
        seed: of the weights, of dropout and of the data, the same in every trial.
        own: what `experiments.unets.sources.choose` says of data of one's own.
    """

    name, monitor, mode, title = "unet", "iou", "max", "val IoU"
    longest = {"smoke": 3, "demo": 9, "cpu": 18, "gpu": 27}

    def __init__(self, choice, preset, seed, machine, own=None):
        self.choice, self.preset, self.seed, self.machine = choice, preset, seed, machine
        script = "python experiments/run_unet_matrix.py"
        data = shlex.quote(choice.data_dir) if choice.source == "folder" else choice.name
        ignore = f" --ignore {shlex.quote(told(own.ignore))}" if own and own.ignore != IGNORE else ""
        self.use = f"{script} --data {data}{ignore} --preset {preset} --variants {TUNED}"
        recipe = replace(PRESETS[preset], half_size=0.0)  # trials are short
        self.data = sources.load(choice, own, recipe, preset)
        self.scoring = scoring_of(self.data, recipe.target)
        self.recipe = on_data(recipe, self.data)
        variable = {"epochs", "images", *(hp.name for hp in self.space().space)}
        self.fixed = {name: value for name, value in self.recipe.record().items() if name not in variable}

    def space(self):
        space, filters = keras_tuner.HyperParameters(), self.recipe.filters
        space.Choice("down", list(DOWN_BLOCKS))
        space.Choice("up", list(UP_BLOCKS))
        space.Choice("loss", list(LOSSES))
        space.Choice("filters", [filters // 2, filters, filters * 3 // 2])
        space.Choice("normalization", ["batch", "group", PLAIN])
        space.Float("dropout", 0.0, 0.4, step=0.1)
        space.Float("learning_rate", 3e-4, 1e-2, sampling="log")
        space.Float("weight_decay", 1e-3, 3e-1, sampling="log")
        space.Float("augmentation", 0.5, 2.5, step=0.5)
        return space

    def fields(self, values):
        return values | {"normalization": None if values["normalization"] == PLAIN else values["normalization"]}

    def build(self, fields, epochs):
        parts = {name: fields[name] for name in VARIANT_FIELDS}
        others = {name: value for name, value in fields.items() if name not in parts}
        recipe = replace(self.recipe, variant=Variant(**parts), epochs=epochs, **others)
        data = copy.copy(self._training_data)
        data.augmentation = recipe.augmentation
        model = build_model(recipe, self.seed, epochs * data.steps, self.scoring, self.machine.xla)
        return Training(model, data, self._validation)

    @functools.cached_property
    def _training_data(self):
        """Shared by all trials, so that the photos are decoded once; of any augmentation but none."""
        recipe = self.recipe
        return TrainingData(self.data.train, recipe.image_size, recipe.batch_size, recipe.target, self.seed, 1.0)

    @functools.cached_property
    def _validation(self):
        return evaluation_data(self.data.validation, self.recipe.image_size, 32, self.recipe.target)
