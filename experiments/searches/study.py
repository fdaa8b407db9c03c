"""A search for hyperparameters: its options, its folder, its trials and its record; what `tune_*.py` share.

A search lies in `<results>/tuning/<name>/`: `config.json` says what is searched, `record.json` what came out,
`trials.csv` ranks all trials, `best.json` is what `--hparams` takes, and `work/` (not in git) holds the search's state
and the checkpoints of trials.
"""

import gc
import hashlib
import json
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from experiments.harness.data import datasets
from experiments.harness.running import runs
from experiments.harness.running.checkpoint import Checkpoint
from experiments.harness.running.clock import Clock
from experiments.harness.running.experiment import beside
from experiments.harness.running.training import TrainingDiverged, train
from experiments.searches.figures import HYPERPARAMETERS, TRIALS, draw_pictures
from experiments.searches.folder import BEST, CONFIG, ORACLE, TABLE, WORK, choose_folder
from experiments.searches.oracles import EPOCHS, PROMOTED, describe_space, make_oracle, range_text
from experiments.searches.report import trials_csv
from experiments.searches.search import CHECKPOINT, TAG, Search


class Study:
    """One search, which may be spread over several sessions and processes.

    `task` is a `searches.task.Task`, `args` the command line, and `role` what `searches.options.role` returned.
    """

    def __init__(self, task, args, role):
        self.task, self.args, self.role = task, args, role
        self.max_epochs = args.max_epochs or task.max_epochs()
        space = task.space()
        self.config = {
            "experiment": task.name,
            "preset": task.preset,
            "tuner": args.tuner,
            "seed": args.seed,
            "max_epochs": self.max_epochs,
            "objective": {"name": f"val_{task.monitor}", "direction": task.mode, "title": task.title},
            "space": describe_space(space),
            "fixed": task.fixed,
            **task.machine.settings(),
            "data": task.data.record(),
        }
        self.tag = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()[:12]
        space.Fixed(TAG, self.tag)
        limits = (self.max_epochs, args.trials, args.seed, args.max_failures)
        self.oracle, self.plan = make_oracle(args.tuner, f"val_{task.monitor}", task.mode, space, *limits)
        default = "-".join(
            filter(None, (task.name, task.choice.name.replace("/", "-"), task.variant, task.preset, args.tuner))
        )
        parent = Path(args.results) / "tuning"
        replaces = args.force or (bool(args.name) and role == "worker")  # whose chief knows which search this is
        self.folder, notices = choose_folder(parent, args.name or default, bool(args.name), self.config, replaces)
        print(f"{task.data}.", *notices, f"Results: {self.folder}", sep="\n", flush=True)

    def describe(self):
        """Prints what would be searched and how much work it is."""
        for name, what in self.config["space"].items():
            print(f"{name:16} {range_text(what)}")
        trials = f"{len(self.plan)} trials of {min(self.plan)} to {max(self.plan)} epochs"
        images = sum(self.plan) * self.task.data.sizes["train"]
        print(f"{self.args.tuner}: {trials}, {sum(self.plan)} epochs and {images:,} training images in all.")
        state = self.folder / WORK / ORACLE
        if state.exists() and not self.args.force:
            print(f"{len(runs.read_json(state)['end_order'])} of them are finished, and would be kept.")
        print("Nothing was written.")

    def run(self, publish):
        """Searches, then writes record and pictures; a worker only searches, a dry run only describes.

        `publish` is called with the folder of all results when they are written. Returns the exit code: 1 where the
        search gave up after failures, or no trial ended well.
        """
        if self.args.dry_run:
            self.describe()
            return 0
        if self.role == "worker":
            print("This process is a worker: it trains the trials that the chief hands out.", flush=True)
            with runs.lock(self.folder / WORK / os.environ["KERASTUNER_TUNER_ID"]):
                self._search()
            print("No trials left. The chief writes the results.")
            return 0
        with runs.lock(self.folder):
            if self.args.force:
                for name in (runs.RECORD, f"{WORK}/{ORACLE}", BEST, TABLE, CONFIG, TRIALS, HYPERPARAMETERS):
                    (self.folder / name).unlink(missing_ok=True)
                shutil.rmtree(self.folder / WORK, ignore_errors=True)
            if self.role == "alone":  # a worker may be writing
                runs.remove_temporary(self.folder)
            runs.write_json(self.folder / CONFIG, self.config)
            self._search()
            status = self._conclude()
        publish(self.args.results)
        return status

    def _search(self):
        search = Search(self.oracle, self.folder / WORK, self._run_trial, self.tag, self.role)
        ended = {name: trial for name, trial in self.oracle.trials.items() if name in self.oracle.end_order}
        if ended:
            print(f"{len(ended)} of {len(self.plan)} trials are finished, and kept.", flush=True)
        if self.role == "chief" and self.oracle.is_finished():
            print("The search is finished: this chief hands out nothing and waits for no worker.", flush=True)
            return
        if self.role == "chief":
            print("This process is the chief: it hands out trials and trains none.", flush=True)
        left = sum(self.plan) - sum(self._epochs(trial) for trial in ended.values())
        images = None if self.role == "worker" else left * self.task.data.sizes["train"]
        self.clock = Clock(images, f"val_{self.task.monitor}", self.task.title)
        self.oracle.on_end = self._say_outcome
        search.search()

    def _epochs(self, trial):
        return trial.hyperparameters.values.get(EPOCHS, self.max_epochs)

    def _fields(self, trial):
        """The recipe's fields of a trial; floats to three digits, which is what is trained and recorded."""
        values = {name: trial.hyperparameters.values[name] for name in self.config["space"]}
        values = {name: float(f"{v:.3g}") if isinstance(v, float) else v for name, v in values.items()}
        return self.task.fields(values)

    def _label(self, trial):
        return f"trial {int(trial.trial_id) + 1} of {len(self.plan)}"

    def _run_trial(self, trial, folder):
        """Trains one trial, going on where an earlier session was killed."""
        label, fields, epochs = self._label(trial), self._fields(trial), self._epochs(trial)
        told = ", ".join(f"{name} {value}" for name, value in fields.items())
        print(f"{label}: {told}; {epochs} epoch{'s' * (epochs > 1)}", flush=True)
        keras.utils.clear_session()
        gc.collect()  # the last trial's model, which a traceback held if it ran out of memory
        try:
            with datasets.naming_damage(self.task.choice):
                return self._train(label, fields, epochs, folder)
        finally:
            self.clock.finish(epochs * self.task.data.sizes["train"])

    def _train(self, label, fields, epochs, folder):
        training = self.task.build(fields, epochs)
        checkpoint = Checkpoint(folder / CHECKPOINT, training.model, [self.tag, fields, epochs])
        parts = (
            training.model,
            training.data,
            training.validation,
            epochs,
            checkpoint,
            self.task.monitor,
            self.task.mode,
        )
        progress = train(*parts, **self.clock.callbacks(label, epochs))
        if not np.isfinite(progress.best):
            raise TrainingDiverged(f"the {self.task.title} is {progress.best}")
        return {
            "score": progress.best,
            "epoch": progress.best_epoch,
            "seconds": progress.seconds,
            "parameters": training.model.count_params(),
            "images_per_second": progress.images_per_second(),
        }

    def _say_outcome(self, trial):
        outcome, label = self._outcome(trial), self._label(trial)
        if self.role == "chief":
            label += f", {outcome['worker']}"
        if outcome["status"] == "failed":
            print(f"{label}: failed, {outcome['failure']}", flush=True)
            return
        best = self.oracle.get_best_trials()[0]
        print(
            f"{label}: {self.task.title} {trial.score:.4f} at epoch {outcome['best_epoch']} of {outcome['epochs']} "
            f"(best: {best.score:.4f}, trial {int(best.trial_id) + 1})",
            flush=True,
        )

    def _outcome(self, trial):
        """What the record says of a trial that has ended; numbers count from 1."""
        told = json.loads(trial.message)
        promoted = trial.hyperparameters.values.get(PROMOTED)
        return {
            "trial": int(trial.trial_id) + 1,
            "status": trial.status.lower(),
            "score": trial.score,
            "epochs": self._epochs(trial),
            "best_epoch": told.get("epoch"),
            "promoted_from": int(promoted) + 1 if promoted else None,
            "hyperparameters": self._fields(trial),
            "parameters": told.get("parameters"),
            "seconds": told["seconds"],
            "images_per_second": told.get("images_per_second"),
            "worker": told["worker"],
            "failure": told.get("failure"),
        }

    def _ranked(self):
        """All trials that have ended, the best first, the failed ones last."""
        sign = -1 if self.task.mode == "max" else 1
        ended = [self._outcome(self.oracle.trials[name]) for name in self.oracle.end_order]
        return sorted(ended, key=lambda t: (t["score"] is None, sign * (t["score"] or 0), t["trial"]))

    def _conclude(self):
        """Writes what came out; returns the exit code."""
        trials = self._ranked()
        good = [trial for trial in trials if trial["status"] == "completed"]
        path = self.folder / runs.RECORD
        if not path.exists() or runs.read_json(path)["trials"] != json.loads(json.dumps(trials)):
            if good:
                runs.write_json(self.folder / BEST, good[0]["hyperparameters"])
            runs.write_json(path, self._record(trials, good))
        for checkpoint in self.folder.glob(f"{WORK}/trial_*/{CHECKPOINT}"):
            checkpoint.unlink()  # of a trial that ended just before a kill
        record = runs.read_json(path)
        runs.write_atomic(self.folder / TABLE, trials_csv(record))
        draw_pictures(record, self.folder)
        if good:
            print(f"Best: {self.task.title} {good[0]['score']:.4f}, in {self.folder / BEST}")
        if self.oracle.gave_up():
            print(
                f"error: the search stopped after {self.args.max_failures} failed trials in a row; the last: "
                f"{self._outcome(self.oracle.trials[self.oracle.end_order[-1]])['failure']}. A larger --max-failures "
                "goes on.",
                file=sys.stderr,
            )
        return 0 if good and not self.oracle.gave_up() else 1

    def _record(self, trials, good):
        return {
            "experiment": "tuning",
            "command": runs.command_line(),
            "dataset": self.task.choice.name,
            "run": self.folder.name,
            "config": self.config,
            "use": self.task.use,
            "budget": {"trials": len(self.plan), "epochs": sum(self.plan)},
            "data": self.config["data"],
            "best": good[0]["hyperparameters"] if good else None,
            "trials": trials,
            "seconds": {"trials": sum(trial["seconds"] for trial in trials)},
            "versions": runs.versions() | {"keras-tuner": version("keras-tuner")},
            "hardware": self.task.machine.record() | beside(),
        }
