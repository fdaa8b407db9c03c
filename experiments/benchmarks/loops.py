"""How training steps and predictions are timed: this project's and a plain program's."""

import itertools
import time

import keras
import numpy as np
import tensorflow as tf

from experiments.benchmarks.ratios import rate


class ProjectLoop:
    """Steps of this project's training, and predictions.

    Both kinds of training step go through Keras's own compiled `train_function` and end when the loss is known, as in
    `harness.running.training.train`; they differ in where batches come from.
    """

    def __init__(self, model, workload):
        self.model, self.data, self.batch_size = model, workload.data(), workload.batch_size
        for _ in self.data.epoch(0):  # fills the cache, as the first epoch of a training does
            pass
        self.numbers = itertools.count()
        self.stream = iter(self.data.epoch(next(self.numbers)))
        self.same = iter(self.data.epoch(0).take(1).cache().repeat())  # one batch for ever, at no cost
        self.inputs = workload.inputs(next(self.same))
        model.make_train_function()
        model.make_predict_function()

    def step(self):
        """A training step alone."""
        float(self.model.train_function(self.same)["loss"])

    def together(self):
        """A training step on the input pipeline's next batch."""
        try:
            logs = self.model.train_function(self.stream)
        except tf.errors.OutOfRangeError:
            self.stream = iter(self.data.epoch(next(self.numbers)))
            logs = self.model.train_function(self.stream)
        float(logs["loss"])

    def inference(self):
        """A prediction of one batch."""
        np.asarray(keras.tree.flatten(self.model.predict_function([(self.inputs,)]))[0])

    def rate(self, measure, seconds):
        """Images a second of one of the three."""
        return rate(getattr(self, measure), self.batch_size, seconds)


class JaxLoop:
    """`ProjectLoop` under JAX: as many steps a call as training takes, and no turn ends before its last step's weights
    are there. What the step alone trains on lies on the device from the start."""

    def __init__(self, model, workload):
        from experiments.harness.running.several_steps import SeveralSteps, steps_per_call

        self.model, self.batch_size, data = model, workload.batch_size, workload.data()
        for _ in data.epoch(0):
            pass
        self.several = SeveralSteps(model, steps_per_call(data))
        self.stream = itertools.chain.from_iterable(data.epoch(n).as_numpy_iterator() for n in itertools.count())
        self.batch = next(self.stream)
        self.inputs = workload.inputs(self.batch)

    def step(self):
        """The same batches for ever, on the device, as `SeveralSteps.run` takes them."""
        stack, count = next(self.several.stacks(itertools.repeat(self.batch)))
        return itertools.repeat((keras.tree.map_structure(keras.ops.convert_to_tensor, stack), count))

    def together(self):
        """The input pipeline's batches."""
        return self.several.ahead(self.several.stacks(self.stream))

    def inference(self):
        """A prediction of one batch."""
        self.model.predict_on_batch(self.inputs)  # as arrays of NumPy

    def rate(self, measure, seconds):
        """Images a second."""
        import jax

        if measure == "inference":
            return rate(self.inference, self.batch_size, seconds)
        stacks, steps = getattr(self, measure)(), 0
        stacks = itertools.chain([next(stacks)], stacks)  # what the device would wait for at the start

        def is_over(done, loss):
            nonlocal steps
            steps = done
            return time.perf_counter() - started >= seconds

        started = time.perf_counter()
        self.several.run(stacks, is_over)
        jax.block_until_ready([weight.value for weight in self.model.weights])
        return steps * self.batch_size / (time.perf_counter() - started)


class PlainLoop:
    """Training by `fit`, as a plain program has it: `together` is all there is to measure."""

    def __init__(self, model, workload):
        self.model, self.data, self.batch_size = model, workload.plain_data(), workload.batch_size

    def rate(self, measure, seconds):
        """Images a second of `fit`, which ends with the first step after so many seconds."""
        watch, started = _StopAfter(seconds), time.perf_counter()
        self.model.fit(self.data, verbose=0, shuffle=False, callbacks=[watch])
        return watch.steps * self.batch_size / (time.perf_counter() - started)


class _StopAfter(keras.callbacks.Callback):
    """Ends `fit` with the first step after so many seconds."""

    def __init__(self, seconds):
        super().__init__()
        self.deadline, self.steps = time.perf_counter() + seconds, 0

    def on_train_batch_end(self, batch, logs=None):
        float(logs["loss"])
        self.steps += 1
        self.model.stop_training = time.perf_counter() >= self.deadline
