"""The whole state of a training in one file.

Keras's `BackupAndRestore` writes weights and metadata one after the other, neither atomically, and forgets seed
generators and the order of the data. Here one file, replaced atomically, holds weights, optimizer (step and loss scale
included), seed generators, the best weights and the history.
"""

import json
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from experiments.harness.running.errors import UserError, first_line
from experiments.harness.running.runs import write_atomic

DAMAGE = (zipfile.BadZipFile, KeyError, ValueError, RuntimeError, OSError, EOFError)
"""What reading a damaged `.npz` raises."""

QUICK, SPACING = 0.5, 10
"""A checkpoint that took more than `QUICK` seconds to write is next written when `SPACING` times as long has gone by:
on a GPU, whose epochs are short, writing a large model after each one would take longer than training it."""


@dataclass
class Progress:
    """How far a training is; one line of `history.csv` an epoch.

    Attributes:
        history: one dictionary an epoch: `epoch` (from 1), `images` or what else the data count, losses and metrics,
            `learning_rate`, `seconds`.
        best: the best validation value so far, and `best_epoch` when that was.
        seconds: spent on training steps (validation apart), over all sessions.
    """

    history: list = field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0

    @property
    def epochs_done(self):
        return len(self.history)

    def images_per_second(self, costs=None):
        """Images, or what else the data count, a second of the median epoch, which a busy moment of the machine or the
        first compilation does not move.

        Args:
            costs: what an image costs in each epoch; only those where it costs most count. By default, all do.
        """
        costs = costs or [1.0] * len(self.history)
        rows = [row for row, cost in zip(self.history, costs, strict=True) if cost == max(costs)]
        return float(np.median([row["images_per_epoch"] / row["seconds"] for row in rows]))


class Checkpoint:
    """The whole state of a training in one file, an `.npz`.

    The model is compiled and built. The configuration is JSON-like; a checkpoint of another one is never resumed.
    """

    def __init__(self, path, model, configuration):
        self.path, self.model = Path(path), model
        if not model.optimizer.built:  # all its variables, those of a loss scale included, before they are restored
            model.optimizer.build(model.trainable_variables)
        self.configuration = json.loads(json.dumps(configuration))
        self.best_weights = None
        self._cost, self._saved = 0.0, None

    @property
    def due(self):
        """Whether to save after an epoch; see `SPACING`."""
        waited = self._saved is None or time.perf_counter() - self._saved >= SPACING * self._cost
        return waited or self._cost <= QUICK

    def _variables(self):
        beside = getattr(self.model, "training_variables", [])  # of networks that train along and are not saved
        return self.model.variables + self.model.optimizer.variables + beside

    def save(self, progress):
        started = time.perf_counter()
        arrays = {f"state_{i}": np.asarray(v) for i, v in enumerate(self._variables())}
        arrays |= {f"best_{i}": value for i, value in enumerate(self.best_weights or [])}
        meta = {"configuration": self.configuration, "progress": vars(progress)}
        arrays["meta"] = np.array(json.dumps(meta))
        write_atomic(self.path, lambda path: np.savez(path, **arrays))
        self._saved = time.perf_counter()
        self._cost = self._saved - started

    def restore(self):
        """Loads the file into the model and returns its `Progress`; a damaged file is a `UserError` that names it.

        Where there is no file, or one of another configuration, the `Progress` is a fresh one.
        """
        if not self.path.exists():
            return Progress()
        try:
            return self._load()
        except DAMAGE as error:
            raise UserError(
                f"Can't read the checkpoint {self.path} ({first_line(error)}). Delete it, then run the command again: "
                "this model starts over."
            ) from error

    def _load(self):
        with np.load(self.path) as arrays:
            meta = json.loads(str(arrays["meta"]))
            if meta["configuration"] != self.configuration:
                return Progress()
            for i, variable in enumerate(self._variables()):
                variable.assign(_as_dtype(arrays[f"state_{i}"], variable))
            count = sum(name.startswith("best_") for name in arrays.files)
            self.best_weights = [arrays[f"best_{i}"] for i in range(count)] or None
        return Progress(**meta["progress"])


def _as_dtype(array, variable):
    return array.astype(keras.backend.standardize_dtype(variable.dtype), copy=False)
