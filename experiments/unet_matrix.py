"""Trains, scores and records each model of the U-Net matrix; the work behind `run_unet_matrix.py`."""

import shutil
import sys
import time

import keras
import numpy as np

from experiments import unet_report
from experiments.harness import datasets, report, runs
from experiments.harness.schedules import OneCycle
from experiments.harness.training import Checkpoint, TrainingDiverged, history_csv, train
from experiments.sections import SECTIONS
from experiments.unet_recipes import BUILTIN_SIZES, MATRIX, TUTORIAL, VARIANTS, make_recipe
from tfseg import shapes
from tfseg.data import TARGETS, TrainingData, evaluation_data
from tfseg.evaluate import evaluate, trivial_scores
from tfseg.flops import count_flops
from tfseg.losses import LOSSES
from tfseg.metrics import ForegroundIoU
from tfseg.tutorial import build_tutorial_unet
from tfseg.unet import build_unet

VALIDATION_SEED = 0  # of the split, the same for every model, so that they compare
COMPARED_IMAGES = 6  # rows of comparison.png


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


def build_model(recipe, seed, steps, xla=False):
    """Builds and compiles the model of a recipe.

    Args:
        recipe: a `Recipe`.
        seed: of the initial weights and of dropout.
        steps: optimizer steps in all, which the one-cycle schedule spans.
        xla: compile the step with XLA.
    """
    keras.utils.set_random_seed(seed)
    shape, channels = (recipe.image_size, recipe.image_size, 3), TARGETS[recipe.target]
    if recipe.variant.network == TUTORIAL:
        model = build_tutorial_unet(shape, recipe.filters, channels)
    else:
        model = build_unet(
            shape,
            channels,
            recipe.filters,
            recipe.depth,
            recipe.variant.down,
            recipe.variant.up,
            recipe.normalization,
            recipe.dropout,
        )
    rate = OneCycle(recipe.learning_rate, steps) if recipe.one_cycle else recipe.learning_rate
    if recipe.weight_decay:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    else:
        optimizer = keras.optimizers.Adam(rate)
    metrics = [ForegroundIoU(recipe.target)]
    model.compile(optimizer, LOSSES[recipe.variant.loss], metrics=metrics, jit_compile=xla)
    optimizer.build(model.trainable_variables)
    return model


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
            clock = MatrixClock(sum(work.values()))
            for variant, seed in left:
                try:
                    self._train_one(variant, seed, clock, force)
                except TrainingDiverged as error:
                    diverged.append(variant)
                    print(
                        f"error: {variant} seed {seed} stopped: {error}. Try a lower rate or float32.", file=sys.stderr
                    )
            print("Writing the summary ...", flush=True)
            self._draw_comparison()
            unet_report.draw_pictures(report.read_records(self.results), self.results)
            report.write_summary(self.results, SECTIONS)
        print(f"Summary: {self.results / 'summary.md'}")
        return 1 if diverged else 0

    def _train_one(self, variant, seed, clock, force):
        """Trains, scores and records one model, going on where an earlier session was killed."""
        recipe, folder = self.recipes[variant], runs.seed_folder(self.folder, variant, seed)
        if force:
            (folder / runs.RECORD).unlink(missing_ok=True)  # first: a record without weights would look like a clone's
            shutil.rmtree(folder, ignore_errors=True)
        configuration = self._configuration(variant)
        runs.write_json(folder / runs.CONFIG, {"shared": self.shared, "model": configuration})

        epochs = self._epochs(variant)
        data = TrainingData(
            self.data.train, recipe.image_size, recipe.batch_size, recipe.target, seed, recipe.augmentation
        )
        model = build_model(recipe, seed, epochs * data.steps, self.machine.xla)
        validation = evaluation_data(self.data.validation, recipe.image_size, 32, recipe.target)
        checkpoint = Checkpoint(folder / "checkpoint.npz", model, [configuration, self.shared, seed])
        label = f"{variant} seed {seed}"
        progress = train(
            model, data, validation, epochs, checkpoint, "iou", "max", lambda p: clock.report(label, p, epochs)
        )
        clock.finish(data.count * epochs)

        print(f"{label}: scoring on the test split ...", flush=True)
        started = time.perf_counter()
        runs.write_atomic(folder / "history.csv", history_csv(progress))
        plain, flipped = (
            evaluate(model, self.data.test, recipe.image_size, recipe.target, flip) for flip in (False, True)
        )
        names = [name.decode() for name in self.data.test.map(lambda e: e["file_name"]).as_numpy_iterator()]
        unet_report.draw_predictions(
            plain.images, plain.truths, plain.predictions, plain.ious, names, folder / "predictions.png", label
        )
        save_weights(model, folder / runs.WEIGHTS)
        record = {
            "experiment": "unet",
            "command": runs.command_line(),
            "dataset": self.data.name,
            "run": self.folder.name,
            "variant": variant,
            "seed": seed,
            "config": {**configuration, "epochs": epochs},
            "data": self.data.record(),
            "parameters": model.count_params(),
            "images_seen": progress.history[-1]["images"],
            "validation": {"iou": progress.best, "epoch": progress.best_epoch},
            "test": plain.scores,
            "test_flip": flipped.scores,
            "trivial": trivial_scores(self.data.test, recipe.image_size, recipe.target),
            "seconds": {"training": progress.seconds, "evaluation": time.perf_counter() - started},
            "images_per_second": progress.images_per_second(),
            "versions": runs.versions(),
            "hardware": self.machine.record(),
        }
        runs.write_json(folder / runs.RECORD, record)
        checkpoint.path.unlink(missing_ok=True)
        print(
            f"{label}: test IoU {plain.scores['iou']:.4f} (border excluded {plain.scores['iou_border_excluded']:.4f})"
        )

    def _draw_comparison(self):
        """The same seeded test images across all finished variants, from their saved weights (lowest seed of each)."""
        finished = {}
        for variant in VARIANTS:
            folders = sorted((self.folder / variant).glob("seed-*"), key=lambda f: int(f.name.removeprefix("seed-")))
            done = [folder for folder in folders if runs.is_finished(folder)]
            finished |= {variant: done[0]} if done else {}
        if not finished:
            return
        count = self.data.sizes["test"]
        rows = np.sort(np.random.default_rng(0).permutation(count)[:COMPARED_IMAGES])
        examples = datasets.take(self.data.test, rows)
        names = [name.decode() for name in examples.map(lambda e: e["file_name"]).as_numpy_iterator()]
        outcomes = {}
        for variant, folder in finished.items():
            config = runs.read_json(folder / runs.RECORD)["config"]
            model = keras.models.load_model(folder / runs.WEIGHTS)
            outcomes[variant] = evaluate(model, examples, config["image_size"], config["target"])
        first = next(iter(outcomes.values()))
        unet_report.draw_comparison(
            first.images,
            first.truths,
            {variant: outcome.predictions for variant, outcome in outcomes.items()},
            {variant: outcome.ious for variant, outcome in outcomes.items()},
            names,
            self.folder / "comparison.png",
            f"The same test images of {self.data.name} through every variant",
        )


def save_weights(model, path):
    """Saves the model without its optimizer and loss, so that it loads without this project, at a third of the size."""
    bare = keras.Model(model.input, model.output, name=model.name)  # the same layers, not compiled
    runs.write_atomic(path, bare.save)


class MatrixClock:
    """Prints a line an epoch, with the time left for the model and for everything.

    Args:
        images: training images of all models that are left to train.
    """

    def __init__(self, images):
        self.images_left, self.epochs_seen, self.images_seen, self.started = images, 0, 0, time.perf_counter()

    def report(self, label, progress, epochs):
        """Prints where one model stands; `progress` is a `training.Progress`."""
        row = progress.history[-1]
        self.images_seen += row["images_per_epoch"]
        pace = (time.perf_counter() - self.started) / self.images_seen
        of_model = (epochs - progress.epochs_done) * row["images_per_epoch"]
        of_all = self.images_left - row["images"]
        print(
            f"{label} | epoch {row['epoch']}/{epochs} | loss {row['loss']:.4f} | val IoU {row['val_iou']:.4f} "
            f"(best {progress.best:.4f}) | {row['images_per_epoch'] / row['seconds']:.1f} images/s | "
            f"left: {_duration(of_model * pace)}, in all {_duration(of_all * pace)}",
            flush=True,
        )

    def finish(self, images):
        """Takes a finished model's images off what is left."""
        self.images_left -= images


def _duration(seconds):
    minutes, seconds = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"
