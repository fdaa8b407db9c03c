"""Trains, scores and records each model of the U-Net matrix; the work behind `run_unet_matrix.py`."""

import functools
import shutil
from dataclasses import replace

import keras
import numpy as np

from experiments.harness.data.splits import take
from experiments.harness.running import runs
from experiments.harness.running.experiment import Experiment, Training
from experiments.unets import figures, sources
from experiments.unets.recipes import MATRIX, VARIANT_FIELDS, at_one_price, make_recipe
from experiments.unets.scoring import on_data, scoring_of
from experiments.unets.training import build_model, of_one_size
from tfseg.data import TrainingData, evaluation_data
from tfseg.flops import count_flops

COMPARED_IMAGES = 6  # rows of comparison.png


class Matrix(Experiment):
    """All U-Nets of one command.

    Args:
        choice, preset, machine, results: as of `Experiment`.
        overrides: fields of `Recipe` that the user set; see `make_recipe`.
        variants, seeds: what to train.
        cache: where resized training images are kept, a name in `tfseg.data.CACHES`.
        own: what `experiments.unets.sources.choose` says of data of one's own.
    """

    name, monitor, mode, title = "unet", "iou", "max", "val IoU"

    def __init__(self, choice, preset, overrides, variants, seeds, machine, results, cache="memory", own=None):
        self.cache = cache
        base = make_recipe(preset, MATRIX[0], overrides)
        data = sources.load(choice, own, base, preset)
        self.scoring = scoring_of(data, base.target)
        base = on_data(base, data)
        self.recipes = {variant: on_data(make_recipe(preset, variant, overrides), data) for variant in variants}
        full_size = at_one_price(replace(base, half_size=0.0))  # which the variants differ in
        common = {name: value for name, value in full_size.record().items() if name not in vars(base.variant)}
        common |= {name: overrides[name] for name in ("half_size", "images") if name in overrides}
        shared = {**common, **machine.settings(), "data": data.record()}
        configurations = {
            (variant, seed): {**self.recipes[variant].record(), "precision": machine.precision}
            for seed in seeds
            for variant in variants
        }
        epochs = {variant: recipe.epochs_for(data.sizes["train"]) for variant, recipe in self.recipes.items()}
        is_plain = set(overrides) <= set(VARIANT_FIELDS)  # which change no other variant
        super().__init__(choice, preset, is_plain, shared, configurations, epochs, data, machine, results)

    def told(self, variant):
        recipe, half = self.recipes[variant], self.recipes[variant].half_size_epochs(self.epochs[variant])
        model = build_model(replace(recipe, half_size=0.0), 0, 1, self.scoring)
        side, flops = recipe.image_size, count_flops(model) / 1e9
        sides = f"{side} x {side} pixels" + f" ({half} epochs: {side // 2} x {side // 2})" * bool(half)
        return f"{sides}, {model.count_params():,} parameters, {flops:.2f} GFLOPs an image"

    def costs(self, variant):
        half, epochs = self.recipes[variant].half_size_epochs(self.epochs[variant]), self.epochs[variant]
        return [0.25] * half + [1.0] * (epochs - half)

    def build(self, variant, seed):
        recipe, folder = self.recipes[variant], runs.seed_folder(self.folder, variant, seed)
        for left_by_a_killed_run in folder.glob("cache-*"):
            shutil.rmtree(left_by_a_killed_run)
        data = TrainingData(
            self.data.train,
            recipe.image_size,
            recipe.batch_size,
            recipe.target,
            seed,
            recipe.augmentation,
            self.cache,
            folder,
            recipe.half_size_epochs(self.epochs[variant]),
        )
        examples, batch_size = self.machine.shareable(self.data.validation, 32)
        validation = evaluation_data(examples, recipe.image_size, batch_size, recipe.target, self.cache)
        steps, synchronized = self.epochs[variant] * data.steps, self.machine.synchronized()
        model = build_model(recipe, seed, steps, self.scoring, self.machine.xla, synchronized)
        return Training(model, data, validation)

    def to_save(self, model, variant):
        recipe = self.recipes[variant]
        return of_one_size(model, recipe) if recipe.half_size else model

    def score(self, model, variant, folder, label):
        """Everything that the test split says, with and without test-time flip; draws `predictions.png`."""
        recipe = self.recipes[variant]
        plain, flipped = (
            self.scoring.evaluate(model, self.data.test, recipe.image_size, recipe.target, flip, pictures=not flip)
            for flip in (False, True)
        )
        figures.draw_predictions(plain, self._test_names, folder / "predictions.png", label, self.scoring)
        print(f"{label}: {self.scoring.told(plain.scores)}", flush=True)
        return {"test": plain.scores, "test_flip": flipped.scores, "trivial": self._trivial}

    @functools.cached_property
    def _test_names(self):
        return _file_names(self.data.test)

    @functools.cached_property
    def _trivial(self):
        """Scores of the predictors that need no model; all models have images of the same size."""
        return self.scoring.trivial(self.data.test, next(iter(self.recipes.values())).image_size)

    def finish_weights(self, path, variant):
        self.scoring.finish(path, self.recipes[variant].image_size)

    def wrap_up(self):
        """Draws curves and comparison."""
        print("Drawing the pictures ...", flush=True)
        self._draw_comparison()
        records = self.records()
        if records:
            figures.draw_curves(records, self.results, self.folder / "curves.png", self.picture_title())

    def _draw_comparison(self):
        """The same seeded test images across all finished variants, from their saved weights (lowest seed of each)."""
        finished = {}
        for folder in runs.model_folders(self.folder):
            if runs.is_finished(folder):
                finished.setdefault(folder.parent.name, folder)
        if not finished:
            return
        count = self.data.sizes["test"]
        rows = np.sort(np.random.default_rng(0).permutation(count)[:COMPARED_IMAGES])
        examples = take(self.data.test, rows)
        outcomes = {}
        for variant, folder in finished.items():
            config = runs.read_json(folder / runs.RECORD)["config"]
            model = keras.models.load_model(folder / runs.WEIGHTS)
            outcomes[variant] = self.scoring.evaluate(model, examples, config["image_size"], config["target"])
        title = f"The same test images of {self.data.name} through every variant"
        path = self.folder / "comparison.png"
        figures.draw_comparison(outcomes, _file_names(examples), path, title, self.scoring)


def _file_names(examples):
    names = examples.map(lambda example: example["file_name"]).as_numpy_iterator()
    return [name.decode(errors="replace") for name in names]
