"""One command's models, from what is left to train to their records: what every training script does around its own
model, data and scores.

A subclass says what a model is (`build`), how it scores (`score`) and what comes after all of them (`wrap_up`).
"""

import os
import shutil
import sys
import time
from dataclasses import dataclass

import keras

from experiments.harness.data import datasets
from experiments.harness.reporting import report, sections
from experiments.harness.running import runs
from experiments.harness.running.checkpoint import Checkpoint
from experiments.harness.running.clock import Clock
from experiments.harness.running.errors import UserError
from experiments.harness.running.training import TrainingDiverged, history_csv, save_model, train

CHECKPOINT = "checkpoint.npz"


@dataclass
class Training:
    """What `train` needs: a compiled model, data by epoch, a validation dataset."""

    model: object
    data: object
    validation: object


class Experiment:
    """Trains, scores and records models, each in its folder; finished ones are kept, an interrupted one goes on.

    Attributes:
        name: of the experiment, in records and as the folder below `results`.
        monitor, mode: the validation metric that chooses the epoch, and whether `"max"` or `"min"` is best.
        title: what to call that metric in progress lines.
        waits: whether a run waits for another one in its folder, or else refuses to start.
        unit: what the examples are, in progress lines, histories and records (`images_seen`).

    Args:
        choice: the dataset, a `datasets.Choice`.
        preset: the preset's name, and `is_plain`, whether no option changes it.
        shared: what all models of the run have in common, data fingerprint included; JSON-like.
        configurations: `{(variant, seed): configuration}`, JSON-like: the models to train, in order. Where several
            devices share a batch, each has a `batch_size`.
        epochs: `{variant: epochs}`.
        data: has `sizes` (`train`, `validation`, `test`) and `record()`; its text is one line that says what it is.
        machine: a `hardware.Hardware`.
        results: folder of all results.

    Raises:
        UserError: where the machine's devices can't share a batch evenly, or there is no free folder.
    """

    name, monitor, mode, title, unit, waits = "", "", "max", "", "images", False

    def __init__(self, choice, preset, is_plain, shared, configurations, epochs, data, machine, results):
        self.choice, self.preset, self.shared, self.configurations = choice, preset, shared, configurations
        self.epochs, self.data, self.machine, self.results = epochs, data, machine, results
        if machine.replicas > 1:
            for (variant, _), configuration in configurations.items():
                machine.check_shares(f"{self.name} {variant}", configuration["batch_size"], data.sizes["train"])
        parent = results / self.name / choice.name
        self.folder, notices = runs.choose_run_folder(parent, preset, is_plain, shared, configurations)
        self.announce(notices)

    def announce(self, notices):
        """Says what the data are and where results go; `notices` say why not to the usual folder."""
        print(f"{self.data}.", *notices, f"Results: {self.folder}", sep="\n", flush=True)

    def describe(self, force=False):
        """Prints what would run, with `force` all, and how much work it is."""
        left, told = self.left(force), {variant: self.told(variant) for variant, _ in self.configurations}
        for variant, seed in self.configurations:
            state = "to do" if (variant, seed) in left else "finished"
            work = f"{self.epochs[variant]} epochs, {self.work(variant):,} {self.unit}"
            print(f"{variant:18} seed {seed}  {state:8}  {work}, {told[variant]}")
        work = f"{sum(self.work(variant) for variant, _ in left):,} {self.unit}"
        print(f"{len(left)} of {len(self.configurations)} models to train, {work} in all. Nothing was written.")

    def told(self, variant):
        """What `describe` says of a model beyond its work."""
        raise NotImplementedError

    def build(self, variant, seed):
        """The `Training` of a model."""
        raise NotImplementedError

    def score(self, model, variant, folder, label):
        """Scores a trained model on the test split and draws its pictures; returns what its record says of it."""
        raise NotImplementedError

    def finish_weights(self, path, variant):
        """Adds to a model's new file of weights what it should remember."""

    def wrap_up(self):
        """What comes after all models, such as pictures that compare them."""
        raise NotImplementedError

    def picture_title(self, label=""):
        """What pictures say of where they come from."""
        return sections.run_title(self.choice.name, label, self.folder.name)

    def records(self):
        """The records of this run's folder."""
        return [r for r in report.read_records(self.results) if self.folder in (self.results / r["folder"]).parents]

    def to_save(self, model, variant):
        """What is saved and scored of a trained model; itself, where a subclass has nothing else."""
        return model

    def work(self, variant):
        """Training examples that a model sees."""
        return self.epochs[variant] * self.data.sizes["train"]

    def costs(self, variant):
        """What a training example costs in each epoch, relative to one another."""
        return [1.0] * self.epochs[variant]

    def _cost(self, variant):
        return sum(self.costs(variant)) * self.data.sizes["train"]

    def left(self, force=False):
        """The models that are still to train; with `force`, all."""
        return [m for m in self.configurations if force or not runs.is_finished(runs.seed_folder(self.folder, *m))]

    def run(self, force=False, after_model=None):
        """Trains what is left, then wraps up; returns the exit code, 1 where a model diverged.

        With `force` it trains again what is finished. `after_model` is called, without arguments, after each model's
        record but the last.
        """
        diverged = []
        with runs.lock(self.folder, self.waits), datasets.naming_damage(self.choice):
            if not runs.same_run(self.folder, self.shared, self.configurations):
                raise UserError(f"{self.folder} was taken by another run meanwhile; give the command again")
            runs.remove_temporary(self.folder)
            left = self.left(force)
            for model in left if force else ():  # all at once, so that, interrupted, the run goes on without `force`
                folder = runs.seed_folder(self.folder, *model)
                (folder / runs.RECORD).unlink(missing_ok=True)  # a record without weights would look like a clone's
                shutil.rmtree(folder, ignore_errors=True)
            for variant, seed in [m for m in self.configurations if m not in left]:
                print(f"{variant} seed {seed}: finished, kept")
                (runs.seed_folder(self.folder, variant, seed) / CHECKPOINT).unlink(missing_ok=True)
            work = sum(self._cost(variant) for variant, _ in left)
            clock = Clock(work, f"val_{self.monitor}", self.title, self.unit)
            for variant, seed in left:
                try:
                    self._train_one(variant, seed, clock)
                    if after_model and (variant, seed) != left[-1]:
                        _say_failure(after_model)
                except TrainingDiverged as error:
                    diverged.append(variant)
                    remedy = "a lower learning rate" if self.machine.precision == "float32" else "--precision float32"
                    print(f"error: {variant} seed {seed} stopped: {error}. Try {remedy}.", file=sys.stderr)
            self.wrap_up()
        return 1 if diverged else 0

    def _train_one(self, variant, seed, clock):
        """Trains, scores and records one model, going on where an earlier session was killed."""
        folder, label = runs.seed_folder(self.folder, variant, seed), f"{variant} seed {seed}"
        configuration = self.configurations[variant, seed]
        runs.write_json(folder / runs.CONFIG, {"shared": self.shared, "model": configuration})
        epochs = self.epochs[variant]
        with self.machine.scope():
            training = self.build(variant, seed)
            checkpoint = Checkpoint(folder / CHECKPOINT, training.model, [configuration, self.shared, seed])
            try:
                parts = training.model, training.data, training.validation, epochs, checkpoint, self.monitor, self.mode
                progress = train(*parts, unit=self.unit, **clock.callbacks(label, epochs, self.costs(variant)))
            finally:
                clock.finish(self._cost(variant))
        trained = self.to_save(training.model, variant)
        save_model(trained, folder / runs.WEIGHTS, lambda path: self.finish_weights(path, variant))
        model = keras.models.load_model(folder / runs.WEIGHTS)  # what is scored is what was saved
        print(f"{label}: scoring on the test split ...", flush=True)
        started = time.perf_counter()
        scores = self.score(model, variant, folder, label)
        seconds = {"training": progress.seconds, "evaluation": time.perf_counter() - started}
        runs.write_atomic(folder / "history.csv", history_csv(progress))
        record = self._record(variant, seed, model, progress, scores)
        runs.write_json(folder / runs.RECORD, record | {"seconds": seconds})
        checkpoint.path.unlink(missing_ok=True)

    def _record(self, variant, seed, model, progress, scores):
        """The record, but for its seconds; `scores` adds to it, and to its `validation`."""
        validation = {self.monitor: progress.best, "epoch": progress.best_epoch}
        return {
            "experiment": self.name,
            "command": runs.command_line(),
            "dataset": self.choice.name,
            "run": self.folder.name,
            "variant": variant,
            "seed": seed,
            "config": {**self.configurations[variant, seed], "epochs": self.epochs[variant]},
            "data": self.data.record(),
            "parameters": model.count_params(),
            f"{self.unit}_seen": progress.history[-1][self.unit],
            **scores,
            "validation": {**validation, **scores.get("validation", {})},
            f"{self.unit}_per_second": progress.images_per_second(self.costs(variant)),
            "versions": runs.versions(),
            "hardware": self.machine.record() | beside(),
        }


def beside():
    """What else keeps the machine busy, where the environment variable `BESIDE` says so, for a record's `hardware`."""
    told = os.environ.get("BESIDE")
    return {"beside": told} if told else {}


def _say_failure(step):
    """Does what training does not depend on, and goes on where that fails, with a line."""
    try:
        step()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
