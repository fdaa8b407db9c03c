"""What the benchmark's child processes do: time one setting, or the machine itself."""

import itertools
import time

import keras
import numpy as np
import tensorflow as tf

from experiments.benchmarks.memory import peak_memory
from experiments.benchmarks.networks import make_workload
from experiments.benchmarks.plan import native_precisions
from experiments.harness.running import hardware, runs

PRODUCT_SIDES = {"CPU": (1024, 2048, 4096), "GPU": (4096, 8192, 16384)}
"""Sides of the square matrices whose product's speed is the ceiling; the best one counts."""
TRIAL_SECONDS = 0.5  # for each of them


def rate(step, amount, seconds):
    """Repeats a step for so many seconds, once at least.

    Args:
        step: function without arguments that returns when its work is done.
        amount: of what a step does: images, or floating-point operations.
        seconds: how long.

    Returns:
        Amount a second.
    """
    started, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - started < seconds:
        step()
        steps += 1
    return steps * amount / (time.perf_counter() - started)


class ProjectLoop:
    """Steps of this project's training, and predictions.

    Both kinds of training step go through Keras's own compiled `train_function` and end when the loss is known, as in
    `harness.running.training.train`; they differ in where batches come from.

    Args:
        model: compiled.
        workload: one of `benchmarks.networks`.
    """

    def __init__(self, model, workload):
        self.model, self.data, self.numbers = model, workload.data(), itertools.count()
        self.stream = iter(self.data.epoch(next(self.numbers)))
        self.same = iter(self.data.epoch(0).take(1).cache().repeat())  # one batch for ever, at no cost
        self.inputs, self.pick = workload.inputs(next(self.same))
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
        np.asarray(self.pick(self.model.predict_function([(self.inputs,)])))

    def rate(self, measure, seconds):
        """Images a second of one of the three."""
        return rate(getattr(self, measure), self.data.batch_size, seconds)


class PlainLoop:
    """Training by `fit`, as a plain program has it: `together` is all there is to measure.

    Args:
        model: compiled.
        workload: one of `benchmarks.networks`.
    """

    def __init__(self, model, workload):
        self.model, self.data, self.batch_size = model, workload.plain_data(), workload.batch_size

    def rate(self, measure, seconds):
        """Images a second."""
        watch = _StopAfter(seconds)
        started = time.perf_counter()
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


class RowService:
    """One setting.

    Args:
        row: a `benchmarks.plan.Row`.
        sizes: a `benchmarks.plan.Sizes`.
    """

    def __init__(self, row, sizes):
        self.row, self.sizes = row, sizes
        hardware.decide(row.precision)  # sets the precision policy
        self.start = peak_memory()

    def build(self):
        """Builds the model and takes the first step of each kind; returns what is known of the setting then."""
        workload = make_workload(self.row.workload, self.sizes)
        if self.row.loop == "project":
            model = workload.model(self.row.xla)
            self.loop = ProjectLoop(model, workload)
        else:
            options = {} if self.row.xla == "auto" else {"jit_compile": self.row.xla}
            model = workload.plain_model(**options)
            self.loop = PlainLoop(model, workload)
        seconds = []
        for measure in self.row.measures:
            started = time.perf_counter()
            self.loop.rate(measure, 0)
            seconds.append(time.perf_counter() - started)
        return {
            "network": workload.name,
            "image_shape": list(workload.image_shape),
            "batch_size": workload.batch_size,
            "parameters": model.count_params(),
            "forward_flops": workload.flops(model),
            "xla_used": bool(model.jit_compile),
            "first_step_seconds": seconds[0],
        }

    def measure(self, name, seconds):
        """Images a second."""
        return self.loop.rate(name, seconds)

    def memory(self):
        """Bytes: `start`, TensorFlow's own before the model; `peak`, the most so far; `device_peak` on a GPU."""
        memory = {"start": self.start, "peak": peak_memory()}
        if tf.config.list_logical_devices("GPU"):
            memory["device_peak"] = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return memory


class MachineService:
    """The machine: what it is, how fast it multiplies matrices, and how fast it reads data."""

    def __init__(self):
        self.machine = hardware.decide()
        self.pipelines, self.products = {}, {}

    def describe(self):
        """Dictionary: `hardware`, `versions`, and the `precisions` that it computes in."""
        gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
        capability = min((details.get("compute_capability", (0, 0)) for details in gpus), default=(0, 0))
        precisions = native_precisions(self.machine.device, capability, hardware.cpu_has_bfloat16())
        return {"hardware": self.machine.record(), "versions": runs.versions(), "precisions": precisions}

    def prepare_product(self, precision):
        """Finds the side of the fastest matrix product in a policy's compute dtype; returns it and the dtype."""
        dtype, speeds = keras.DTypePolicy(precision).compute_dtype, {}
        for side in PRODUCT_SIDES[self.machine.device]:
            multiply = _product(side, dtype)
            multiply()
            speeds[side] = rate(multiply, 2 * side**3, TRIAL_SECONDS)
        side = max(speeds, key=speeds.get)
        self.products[precision] = _product(side, dtype), 2 * side**3
        return {"side": side, "dtype": dtype}

    def product(self, precision, seconds):
        """Floating-point operations a second."""
        return rate(*self.products[precision], seconds)

    def prepare_pipeline(self, workload, sizes):
        """Fills the cache of a workload's input pipeline."""
        data = make_workload(workload, sizes).data()
        stream = itertools.chain.from_iterable(data.epoch(number) for number in itertools.count())
        for _ in range(data.steps + 1):
            next(stream)
        self.pipelines[workload] = lambda: next(stream), data.batch_size

    def pipeline(self, workload, seconds):
        """Images a second that a workload's input pipeline delivers alone."""
        return rate(*self.pipelines[workload], seconds)


def _product(side, dtype):
    """A function that multiplies two square matrices, of which it knows the result when it returns."""
    random = np.random.default_rng(0)
    left, right = (tf.cast(random.standard_normal((side, side), "float32"), dtype) for _ in range(2))
    multiply = tf.function(lambda: tf.matmul(left, right))
    return lambda: multiply()[0, 0].numpy()
