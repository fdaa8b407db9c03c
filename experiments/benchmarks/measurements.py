"""What the benchmark's child processes do: time one setting, or the machine itself."""

import itertools
import time

import keras
import tensorflow as tf

from experiments.benchmarks.kernels import kernel_shares
from experiments.benchmarks.loops import JaxLoop, PlainLoop, ProjectLoop
from experiments.benchmarks.memory import peak_memory
from experiments.benchmarks.networks import make_workload
from experiments.benchmarks.plan import native_precisions
from experiments.benchmarks.ratios import rate
from experiments.harness.running import hardware, runs

PRODUCT_SIDES = {"CPU": (1024, 2048, 4096), "GPU": (4096, 8192, 16384)}
"""Sides of the square matrices whose product's speed is the ceiling; the best one counts."""
TRIAL_SECONDS = 0.5  # for each of them


class RowService:
    """One setting, a `benchmarks.plan.Row`."""

    def __init__(self, row, sizes):
        self.row, self.sizes = row, sizes
        self.machine = hardware.decide(row.precision)  # sets the precision policy
        self.start = peak_memory()

    def build(self):
        """Builds the model and takes the first step of each kind; returns what is known of the setting then."""
        workload = make_workload(self.row.workload, self.sizes)
        if self.row.loop == "plain":
            model = workload.plain_model(**({} if self.row.xla == "auto" else {"jit_compile": self.row.xla}))
            self.loop = PlainLoop(model, workload)
        else:
            model = workload.model(self.row.xla)
            self.loop = (JaxLoop if self.machine.backend == "jax" else ProjectLoop)(model, workload)
        seconds = []
        for measure in self.row.measures:
            started = time.perf_counter()
            self.loop.rate(measure, 0)
            seconds.append(time.perf_counter() - started)
        return {
            "network": workload.name,
            "unit": workload.unit,
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

    def kernels(self):
        """Shares of a training step's time by kind of kernel; None where TensorFlow's CPU kernels don't take it."""
        if self.machine.device != "CPU" or self.machine.backend == "jax" or self.row.xla is True:
            return None
        return kernel_shares(self.loop.step)

    def memory(self):
        """Bytes: `start`, the framework's own before the model; `peak`, the most so far; `device_peak` on a GPU."""
        memory = {"start": self.start, "peak": peak_memory()}
        if self.machine.device == "GPU" and self.machine.backend == "jax":
            import jax

            memory["device_peak"] = jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
        elif self.machine.device == "GPU":
            memory["device_peak"] = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return memory


class MachineService:
    """The machine: what it is, how fast it multiplies matrices, and how fast it reads data."""

    def __init__(self):
        self.machine = hardware.decide()
        self.products = {}

    def describe(self):
        """Dictionary: `hardware`, `versions`, and the `precisions` that it computes in."""
        capability = min((capability for _, capability in hardware.find_gpus(self.machine.backend)), default=(0, 0))
        precisions = native_precisions(self.machine.device, capability, hardware.cpu_has_bfloat16())
        return {"hardware": self.machine.record(), "versions": runs.versions(), "precisions": precisions}

    def prepare_product(self, precision):
        """Finds the side of the fastest matrix product in a policy's compute dtype; returns it and the dtype."""
        dtype, speeds = keras.DTypePolicy(precision).compute_dtype, {}
        for side in PRODUCT_SIDES[self.machine.device]:
            multiply = _product(side, dtype, self.machine.backend)
            multiply()
            speeds[side] = rate(multiply, 2 * side**3, TRIAL_SECONDS)
        side = max(speeds, key=speeds.get)
        self.products[precision] = _product(side, dtype, self.machine.backend), 2 * side**3
        return {"side": side, "dtype": dtype}

    def product(self, precision, seconds):
        """Floating-point operations a second."""
        return rate(*self.products[precision], seconds)

    def prepare_pipeline(self, workload, sizes):
        """Fills the cache of a workload's input pipeline."""
        made = make_workload(workload, sizes)
        data = made.data()
        stream = itertools.chain.from_iterable(data.epoch(number) for number in itertools.count())
        for _ in range(data.steps + 1):
            next(stream)
        self.read = lambda: next(stream), made.batch_size

    def pipeline(self, seconds):
        """Images a second that this input pipeline delivers alone."""
        return rate(*self.read, seconds)


def _product(side, dtype, backend):
    """A function that multiplies two square matrices, of which it knows the result when it returns."""
    if backend == "jax":
        import jax

        left, right = (jax.random.normal(jax.random.key(seed), (side, side), dtype) for seed in range(2))
        multiply = jax.jit(jax.numpy.matmul)
        return lambda: multiply(left, right).block_until_ready()
    left, right = (tf.random.stateless_normal((side, side), (0, seed), dtype=dtype) for seed in range(2))
    multiply = tf.function(lambda: tf.matmul(left, right))
    return lambda: multiply()[0, 0].numpy()
