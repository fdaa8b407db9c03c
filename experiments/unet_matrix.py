"""Trains, scores and records each model of the U-Net matrix; the work behind `run_unet_matrix.py`."""

import shutil
import sys
import time

import keras
import numpy as np

from experiments import unet_report
from experiments.harness import datasets, report, runs
from experiments.harness.clock import Clock
from experiments.harness.training import Checkpoint, TrainingDiverged, history_csv, save_model, train
from experiments.sections import SECTIONS
from experiments.unet_recipes import MATRIX, VARIANTS, make_recipe
from experiments.unet_training import PetData, build_model
from tfseg.data import TrainingData, evaluation_data
from tfseg.evaluate import evaluate, trivial_scores
from tfseg.flops import count_flops
from tfseg.metrics import foreground_target

COMPARED_IMAGES = 6  # rows of comparison.png


class Matrix:
    """All models of one command: which are finished, which go on, which are still to do.

    Args:
        choice: the dataset, a `datasets.Choice`.
        preset: the preset's name.
        overrides: fields of `Recipe` that the user set.
        variants, seeds: what to train.
        machine: a `hardware.Hardware`.
        results: folder of all results.
    """

    def __init__(self, choice, preset, overrides, variants, seeds, machine, results):
        self.choice, self.preset, self.machine, self.results = choice, preset, machine, results
        self.recipes = {variant: make_recipe(preset, variant, overrides) for variant in variants}
        base = make_recipe(preset, MATRIX[0], overrides)
        self.data = PetData(choice, preset, base.train_limit, base.test_limit)
        self.models = [(variant, seed) for seed in seeds for variant in variants]
        configurations = {(variant, seed): self._configuration(variant) for variant, seed in self.models}
        common = {name: value for name, value in base.record().items() if name not in vars(base.variant)}
        self.target = foreground_target(base.target)
        self.shared = {**common, "precision": machine.precision, "data": self.data.record()}
        parent = results / "unet" / choice.name
        self.folder, notices = runs.choose_run_folder(parent, preset, not overrides, self.shared, configurations)
        print(f"{self.data}.", *notices, f"Results: {self.folder}", sep="\n", flush=True)

    def _configuration(self, variant):
        return {**self.recipes[variant].record(), "precision": self.machine.precision}

    def _epochs(self, variant):
        return self.recipes[variant].epochs_for(self.data.sizes["train"])

    def _left(self, force=False):
        return [m for m in self.models if force or not runs.is_finished(runs.seed_folder(self.folder, *m))]

    def describe(self):
        """Prints what would run and how much work it is."""
        left, images = self._left(), 0
        for variant, seed in self.models:
            epochs = self._epochs(variant)
            work = epochs * self.data.sizes["train"]
            images += work if (variant, seed) in left else 0
            state = "to do" if (variant, seed) in left else "finished"
            recipe = self.recipes[variant]
            model = build_model(recipe, seed, 1)
            print(
                f"{variant:18} seed {seed}  {state:8}  {epochs} epochs, {work:,} images of side {recipe.image_size}, "
                f"{model.count_params():,} parameters, {count_flops(model) / 1e9:.2f} GFLOPs an image"
            )
        print(f"{len(left)} of {len(self.models)} models to train, {images:,} images in all. Nothing was written.")

    def run(self, force=False):
        """Trains what is left, then rewrites the summary; returns the exit code, 1 where a model diverged."""
        diverged = []
        with runs.lock(self.folder), datasets.naming_damage(self.choice):
            runs.remove_temporary(self.folder)
            left = self._left(force)
            for variant, seed in [m for m in self.models if m not in left]:
                print(f"{variant} seed {seed}: finished, kept")
            work = {m: self._epochs(m[0]) * self.data.sizes["train"] for m in left}
            clock = Clock(sum(work.values()), "val_iou", "val IoU")
            for variant, seed in left:
                try:
                    self._train_one(variant, seed, clock, force)
                except TrainingDiverged as error:
                    diverged.append(variant)
                    print(f"error: {variant} seed {seed} stopped: {error}. Try --precision float32.", file=sys.stderr)
            print("Writing the summary ...", flush=True)
            self._draw_comparison()
            records = [
                r for r in report.read_records(self.results) if self.folder in (self.results / r["folder"]).parents
            ]
            unet_report.draw_pictures(records, self.results)
            report.write_summary(self.results, SECTIONS)
        print(f"Summary: {self.results / 'summary.md'}")
        return 1 if diverged else 0

    def _train_one(self, variant, seed, clock, force):
        """Trains, scores and records one model, going on where an earlier session was killed."""
        folder, label = runs.seed_folder(self.folder, variant, seed), f"{variant} seed {seed}"
        if force:
            (folder / runs.RECORD).unlink(missing_ok=True)  # first: a record without weights would look like a clone's
            shutil.rmtree(folder, ignore_errors=True)
        runs.write_json(folder / runs.CONFIG, {"shared": self.shared, "model": self._configuration(variant)})
        model, progress, checkpoint = self._train(variant, seed, folder, label, clock)
        print(f"{label}: scoring on the test split ...", flush=True)
        scores = self._score(model, self.recipes[variant], folder, label)
        runs.write_atomic(folder / "history.csv", history_csv(progress))
        save_model(model, folder / runs.WEIGHTS)
        runs.write_json(folder / runs.RECORD, self._record(variant, seed, model, progress, scores))
        checkpoint.path.unlink(missing_ok=True)
        test = scores["test"]
        print(f"{label}: test IoU {test['iou']:.4f}, border excluded {test['iou_border_excluded']:.4f}", flush=True)

    def _train(self, variant, seed, folder, label, clock):
        recipe, epochs = self.recipes[variant], self._epochs(variant)
        data = TrainingData(
            self.data.train, recipe.image_size, recipe.batch_size, recipe.target, seed, recipe.augmentation
        )
        validation = evaluation_data(self.data.validation, recipe.image_size, 32, recipe.target)
        model = build_model(recipe, seed, epochs * data.steps, self.target, self.machine.xla)
        checkpoint = Checkpoint(folder / "checkpoint.npz", model, [self._configuration(variant), self.shared, seed])
        progress = train(
            model,
            data,
            validation,
            epochs,
            checkpoint,
            on_epoch=lambda progress: clock.epoch(label, progress, epochs),
            on_step=lambda epoch, step, steps: clock.step(label, f"{epoch}/{epochs}", step, steps),
        )
        clock.finish(data.count * epochs)
        return model, progress, checkpoint

    def _score(self, model, recipe, folder, label):
        """Everything that the test split says, with and without test-time flip; draws `predictions.png`."""
        started = time.perf_counter()
        plain, flipped = (
            evaluate(model, self.data.test, recipe.image_size, recipe.target, flip, self.target)
            for flip in (False, True)
        )
        unet_report.draw_predictions(
            plain.images,
            plain.truths,
            plain.predictions,
            plain.ious,
            _file_names(self.data.test),
            folder / "predictions.png",
            label,
        )
        return {
            "test": plain.scores,
            "test_flip": flipped.scores,
            "trivial": trivial_scores(self.data.test, recipe.image_size, self.target),
            "seconds": time.perf_counter() - started,
        }

    def _record(self, variant, seed, model, progress, scores):
        return {
            "experiment": "unet",
            "command": runs.command_line(),
            "dataset": self.data.name,
            "run": self.folder.name,
            "variant": variant,
            "seed": seed,
            "config": {**self._configuration(variant), "epochs": self._epochs(variant)},
            "data": self.data.record(),
            "parameters": model.count_params(),
            "images_seen": progress.history[-1]["images"],
            "validation": {"iou": progress.best, "epoch": progress.best_epoch},
            **{name: scores[name] for name in ("test", "test_flip", "trivial")},
            "seconds": {"training": progress.seconds, "evaluation": scores["seconds"]},
            "images_per_second": progress.images_per_second(),
            "versions": runs.versions(),
            "hardware": self.machine.record(),
        }

    def _draw_comparison(self):
        """The same seeded test images across all finished variants, from their saved weights (lowest seed of each)."""
        finished = {}
        for variant in VARIANTS:
            done = [folder for folder in runs.model_folders(self.folder, variant) if runs.is_finished(folder)]
            finished |= {variant: done[0]} if done else {}
        if not finished:
            return
        count = self.data.sizes["test"]
        rows = np.sort(np.random.default_rng(0).permutation(count)[:COMPARED_IMAGES])
        examples = datasets.take(self.data.test, rows)
        outcomes = {}
        for variant, folder in finished.items():
            config = runs.read_json(folder / runs.RECORD)["config"]
            model = keras.models.load_model(folder / runs.WEIGHTS)
            outcomes[variant] = evaluate(model, examples, config["image_size"], config["target"], target=self.target)
        first = next(iter(outcomes.values()))
        unet_report.draw_comparison(
            first.images,
            first.truths,
            {variant: outcome.predictions for variant, outcome in outcomes.items()},
            {variant: outcome.ious for variant, outcome in outcomes.items()},
            _file_names(examples),
            self.folder / "comparison.png",
            f"The same test images of {self.data.name} through every variant",
        )


def _file_names(examples):
    return [name.decode() for name in examples.map(lambda example: example["file_name"]).as_numpy_iterator()]
