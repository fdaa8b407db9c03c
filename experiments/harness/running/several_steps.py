"""Training on JAX with several optimizer steps in one call.

`keras.Model.fit` hands each batch to the device from Python and waits for its loss. For small models that costs a GPU
more time than the step itself. Here a compiled `lax.scan` takes a stack of batches at once, and the next stack is put
together in a thread while the device works. On CPUs a convolution inside of `lax.scan` is many times slower, so there
each call takes one step. The first stack of the next epoch is made while the device works on the last of this one and
validates.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import jax
import keras
import numpy as np
from jax import lax

STEPS_PER_CALL = 16
"""On a GPU, about; on a CPU it is 1."""

END = None
"""What stands for the end of an epoch among its stacks."""


def steps_per_call(data):
    """How many steps a call takes in training on `data`: on a GPU the data's `run`, the number of batches of one shape
    that follow each other; without it, near `STEPS_PER_CALL`, with the fewest of an epoch left over, since what is left
    over is compiled once more."""
    if jax.default_backend() != "gpu":
        return 1
    near = range(max(1, STEPS_PER_CALL // 2), STEPS_PER_CALL * 3 // 2 + 1)
    return getattr(data, "run", min(near, key=lambda count: (data.steps % count, abs(count - STEPS_PER_CALL))))


class SeveralSteps:
    """One model's compiled training steps, `steps` a call; the model is compiled and built, its optimizer too."""

    def __init__(self, model, steps=1):
        self.model, self.steps = model, steps
        self._one = jax.jit(self._step, donate_argnums=0)
        self._several = jax.jit(lambda state, stack: lax.scan(self._step, state, stack), donate_argnums=0)

    def epochs(self, data, numbers):
        """The stacks of each epoch, to be taken one after the other, whole; `run` trains on them.

        Args:
            data: as of `training.train`; its batches are what `model.train_step` takes.
            numbers: of the epochs.
        """

        def all_stacks():
            for number in numbers:
                yield from self.stacks(data.epoch(number).as_numpy_iterator())
                yield END

        stream = self.ahead(all_stacks())
        for _ in numbers:
            yield iter(lambda: next(stream), END)

    def ahead(self, stacks):
        """Stacks, each made in a thread while the one before is in use; single batches as they come."""
        if self.steps == 1:
            yield from stacks
            return
        stacks, over = iter(stacks), object()
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(next, stacks, over)
            while (stack := coming.result()) is not over:
                coming = pool.submit(next, stacks, over)
                yield stack

    def run(self, stacks, on_loss=None):
        """Trains on an iterator of stacks, in their order; returns the metrics, floats by name.

        `on_loss` is called with the number of steps done and the mean loss so far, after each call; it may return True
        to end the training.
        """
        first = next(stacks)
        self._build_metrics(*first)
        self.model.reset_metrics()
        variables = self._variables()
        state = tuple([v.value for v in part] for part in variables)
        done, waiting = 0, None
        try:
            for stack, count in itertools.chain([first], stacks):
                if count == 1:
                    state, loss = self._one(state, stack)
                else:
                    state, losses = self._several(state, stack)
                    loss = losses[-1]
                # The loss of the call before: waiting for this one's would leave the device idle.
                ended = waiting and on_loss and on_loss(*_read(waiting))
                done += count
                waiting = done, loss
                if ended:
                    break
        finally:  # a call takes the memory of all variables, those of a network that other models share, too
            for part, values in zip(variables, state, strict=True):
                for variable, value in zip(part, values, strict=True):
                    variable.assign(value)
        if waiting and on_loss:
            on_loss(*_read(waiting))
        return {name: float(value) for name, value in self.model.get_metrics_result().items()}

    def _build_metrics(self, stack, count):
        """Creates the variables of metrics and loss as `fit` does, since a compiled step can't."""
        batch = stack if count == 1 else keras.tree.map_structure(lambda array: array[0], stack)
        self.model._symbolic_build(data_batch=batch)

    def _variables(self):
        m = self.model
        return m.trainable_variables, m.non_trainable_variables, m.optimizer.variables, m.metrics_variables

    def _step(self, state, batch):
        logs, state = self.model.train_step(state, batch)
        return state, logs["loss"]

    def stacks(self, batches):
        """Runs of batches of equal shapes, each as long as a call takes or one batch; with how many there are."""
        for _, run in itertools.groupby(batches, _shapes):
            while group := list(itertools.islice(run, self.steps)):
                if len(group) == self.steps > 1:
                    yield keras.tree.map_structure(lambda *arrays: jax.device_put(np.stack(arrays)), *group), len(group)
                else:
                    yield from ((batch, 1) for batch in group)


def _shapes(batch):
    return [array.shape for array in keras.tree.flatten(batch)]


def _read(waiting):
    done, loss = waiting
    return done, float(loss)
