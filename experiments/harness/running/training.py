"""The training loop that all experiments share: one epoch at a time, checkpointed so that `kill -9` costs no more than
the epoch in progress (or a few that took no longer than ten times the checkpoint), and repeated exactly by whoever
resumes it, since an epoch's data depend on its number alone.
"""

import contextlib
import csv
import io
import time

import keras
import numpy as np
from keras import ops

from experiments.harness.running.runs import write_atomic


class TrainingDiverged(Exception):
    """The loss became NaN or infinite."""


def train(
    model, data, validation, epochs, checkpoint, monitor="iou", mode="max", on_epoch=None, on_step=None, unit="images"
):
    """Trains a compiled, built model, leaves it with its best weights on validation, and returns the `Progress`.

    Args:
        model: compiled with its loss, its metrics and an optimizer. With the optimizer's `use_ema=True`, the averaged
            weights are validated and kept as the best, while training goes on with its own.
        data: has `epoch(number)`, a dataset of the batches of that epoch, a function of its number alone; `steps` and
            `batch_size`, or, where batches differ in size, `examples`, the number of all in an epoch.
        epochs: how many in all, those of earlier sessions included.
        checkpoint: a `Checkpoint`; an interrupted training goes on from it.
        monitor: the validation metric that chooses the best epoch, and `mode` (`"max"` or `"min"`) which way.
        on_epoch: called with the `Progress` after each epoch.
        on_step: called with the epoch (from 1), the step in it (from 1) and the steps of an epoch.
        unit: what the examples are, a column of the history.

    Raises:
        TrainingDiverged: when the loss is NaN or infinite; the checkpoint before it stays.
    """
    progress = checkpoint.restore()
    numbers = range(progress.epochs_done, epochs)
    fit_epoch = _epoch_runner(model, data, numbers)
    for epoch in numbers:
        started = time.perf_counter()
        logs = fit_epoch(epoch, on_step)
        seconds = time.perf_counter() - started
        with averaged_weights(model):
            scores = model.evaluate(validation, verbose=0, return_dict=True)
            value = scores[monitor]
            if (
                progress.best is None
                or np.isnan(progress.best)
                or (value - progress.best) * (1 if mode == "max" else -1) > 0
            ):
                progress.best, progress.best_epoch = value, epoch + 1
                checkpoint.best_weights = _copies(model.weights)
        progress.seconds += seconds
        images = data.examples if hasattr(data, "examples") else data.steps * data.batch_size
        progress.history.append(
            {
                "epoch": epoch + 1,
                unit: (epoch + 1) * images,
                **logs,
                **{f"val_{name}": number for name, number in scores.items()},
                "learning_rate": float(np.asarray(model.optimizer.learning_rate)),
                "seconds": seconds,
                "images_per_epoch": images,
            }
        )
        if checkpoint.due or epoch + 1 == epochs:
            checkpoint.save(progress)
        if on_epoch:
            on_epoch(progress)
    model.set_weights(checkpoint.best_weights)
    return progress


@contextlib.contextmanager
def averaged_weights(model):
    """Holds the averages of a model's weights in their place, where its optimizer keeps any (`use_ema=True`)."""
    own = _own_weights(model)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    _assign(model, _own_weights(model))  # copies: on JAX they would share memory that `evaluate` gives away
    yield
    _assign(model, own)


def _own_weights(model):
    """A copy of the trained weights, to be put back where averages take their place; else None."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of a loss scale
    return _copies(model.trainable_variables) if optimizer.use_ema else None


def _copies(variables):
    """Copies of their values that stay on the device: through the host, those of a large model take longer than an
    epoch on a GPU."""
    return [ops.copy(ops.convert_to_tensor(variable)) for variable in variables]


def _assign(model, weights):
    for variable, value in zip(model.trainable_variables, weights or [], strict=bool(weights)):
        variable.assign(value)


def _epoch_runner(model, data, numbers):
    """What trains a model for an epoch: a function of the epoch, the next one of `numbers`, and `on_step` that returns
    the metrics."""
    if keras.backend.backend() == "jax" and keras.distribution.distribution() is None:
        from experiments.harness.running.several_steps import SeveralSteps, steps_per_call

        several = SeveralSteps(model, steps_per_call(data))
        epochs = several.epochs(data, numbers)

        def run(epoch, on_step):
            return several.run(next(epochs), _Watch(epoch, data.steps, on_step).check)

        return run

    def fit(epoch, on_step):
        watch = _Watch(epoch, data.steps, on_step)
        history = model.fit(
            data.epoch(epoch), initial_epoch=epoch, epochs=epoch + 1, verbose=0, shuffle=False, callbacks=[watch]
        )
        _assign(model, watch.own_weights)  # Keras ends every `fit` with the averages in their place
        return {name: float(values[-1]) for name, values in history.history.items()}

    return fit


class _Watch(keras.callbacks.Callback):
    """Reports each step, stops at the first loss that is no number, and remembers the weights that were trained."""

    def __init__(self, epoch, steps, on_step):
        super().__init__()
        self.epoch, self.steps, self.on_step, self.own_weights = epoch, steps, on_step, None

    def check(self, step, loss):
        """Called with how many steps of the epoch are done, and the loss."""
        if not np.isfinite(loss):
            raise TrainingDiverged(f"the loss became {loss} at step {step} of epoch {self.epoch + 1}")
        if self.on_step:
            self.on_step(self.epoch + 1, step, self.steps)

    def on_train_batch_end(self, batch, logs=None):
        self.check(batch + 1, (logs or {}).get("loss", 0.0))

    def on_epoch_end(self, epoch, logs=None):
        self.own_weights = _own_weights(self.model)


def save_model(model, path, finish=None):
    """Saves a model atomically without its optimizer and loss: at a third of the size. A Functional model then loads
    without anything of this project.

    `finish` is called with the path of the file before it is in its place, to add to it.
    """
    if hasattr(model, "inputs"):  # Functional
        bare = keras.Model(model.input, model.output, name=model.name)  # the same layers, not compiled
    else:
        bare = type(model).from_config(model.get_config())
        bare.set_weights(model.get_weights())

    def write(temporary):
        bare.save(temporary)
        if finish:
            finish(temporary)

    write_atomic(path, write)


def history_csv(progress):
    """The history as CSV text, one line an epoch."""
    text = io.StringIO()
    columns = [name for name in progress.history[0] if name != "images_per_epoch"]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(progress.history)
    return text.getvalue()
