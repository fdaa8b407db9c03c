"""One decision about the hardware: device, precision policy, XLA, several devices. Made once, printed, and kept in
every record."""

import contextlib
import importlib.util
import os
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass
from functools import cache

from experiments.harness.running.errors import UserError
from experiments.harness.running.interrupts import interruptible

PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("none", "mirrored")
BACKENDS = ("tensorflow", "jax")

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""Environment variable that turns oneDNN's kernels on. By itself TensorFlow does so only on x86 CPUs with newer
instructions (AVX-512 VNNI and the like); they are faster on CPUs with AVX2, too."""


@dataclass(frozen=True)
class Hardware:
    """What the computation runs on, and how.

    Attributes:
        device: `"GPU"` or `"CPU"`.
        name: the processor's or card's name.
        cores: CPU cores that this process may use.
        gpus: number of GPUs.
        precision: a Keras dtype policy.
        xla: whether models are compiled by XLA: on a GPU yes; on CPUs, where it is slower, and under TensorFlow's
            mirrored strategy no; JAX always does.
        reason: why this precision.
        strategy: `"mirrored"` where each batch is shared out over several devices, else `"none"`.
        replicas: devices that share a batch.
        backend: Keras's.
    """

    device: str
    name: str
    cores: int
    gpus: int
    precision: str
    xla: bool
    reason: str
    strategy: str = "none"
    replicas: int = 1
    backend: str = "tensorflow"

    def __str__(self):
        xla = "on" if self.xla else "off"
        count = f"{self.gpus} x " if self.gpus > 1 else ""
        mirrored = f"; batches shared out over {self.replicas} devices" if self.strategy == "mirrored" else ""
        backend = f"; Keras on {self.backend}" if self.backend != "tensorflow" else ""
        where = f"{self.device} {count}{self.name}, {self.cores} cores"
        return f"{where}; {self.precision} ({self.reason}); XLA {xla}{mirrored}{backend}"

    def record(self):
        """The decision as a dictionary for `record.json`."""
        return asdict(self)

    def settings(self):
        """What of it shapes a result, for the run's configuration."""
        several = {"strategy": self.strategy, "replicas": self.replicas} if self.strategy != "none" else {}
        backend = {"backend": self.backend} if self.backend != "tensorflow" else {}
        return {"precision": self.precision, **several, **backend}

    def scope(self):
        """Context in which models are built and trained, so that they are on all devices that share a batch."""
        if self.strategy == "none":
            return contextlib.nullcontext()
        return (_mirrored() if self.backend == "tensorflow" else _data_parallel()).scope()

    def shareable(self, examples, batch_size):
        """Validation examples and a batch size that leave no device without its share of any batch.

        On several devices that costs the last few examples, fewer than there are devices. Where there are fewer
        altogether, a `UserError` says so.
        """
        if self.replicas == 1:
            return examples, batch_size
        count = int(examples.cardinality())
        if count < self.replicas:
            raise UserError(f"{self.replicas} devices can't share {count} for validation; leave --strategy out")
        batch_size = max(self.replicas, batch_size - batch_size % self.replicas)
        return examples.take(count - count % self.replicas), batch_size

    def check_shares(self, model, batch_size, examples):
        """Raises `UserError`, which names the model, where the devices can't share training batches evenly.

        Where there are fewer examples to train on than a batch has, all are one batch.
        """
        batch = min(batch_size, examples)
        if batch % self.replicas:
            raise UserError(
                f"{model}: {self.replicas} devices can't share batches of {batch} images evenly. Choose a --batch-size "
                f"that is a multiple of {self.replicas} and no more than the {examples} images to train on, or leave "
                f"{model} or --strategy out. Received: batch size {batch_size}"
            )

    def synchronized(self):
        """Whether batch statistics have to be synchronized between devices; JAX takes them over the whole batch."""
        return self.strategy == "mirrored" and self.backend == "tensorflow"


def choose_backend():
    """Keras's backend, which `KERAS_BACKEND` alone chooses: a `keras.json` would be read too late to act on.

    Raises `UserError` for one that is not in `BACKENDS`, or is not installed.
    """
    backend = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise UserError(f"KERAS_BACKEND must be one of {', '.join(BACKENDS)} for this script. Received: {backend}")
    if importlib.util.find_spec(backend) is None:
        command = "-r requirements.txt" if backend == "tensorflow" else f'".[{backend}]"'
        raise UserError(f"{backend} is not installed; run: pip install {command}")
    return backend


def import_tensorflow(onednn=True):
    """Imports TensorFlow and Keras (8 to 13 s), and keeps their chatter off the terminal unless the import fails.

    With `onednn`, oneDNN's kernels are on where the environment does not say; without it, TensorFlow decides alone,
    whatever the environment says. Raises `UserError` where it is not installed, and as `choose_backend`.
    """
    backend = choose_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if onednn:
        os.environ.setdefault(ONEDNN, "1")
    else:
        os.environ.pop(ONEDNN, None)
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            with interruptible():
                import tensorflow as tf
                from absl import logging

                if backend == "tensorflow":
                    tf.config.list_physical_devices()
                else:
                    tf.config.set_visible_devices([], "GPU")  # it only reads data, and must leave the memory alone
                tf.get_logger().setLevel("ERROR")
                logging.set_verbosity(logging.ERROR)  # what TFDS warns of are its own internals
                import keras  # noqa: F401, takes seconds, too
        except ModuleNotFoundError as error:
            raise UserError(f"{error.name} is not installed; run: pip install -r requirements.txt") from None
        except KeyboardInterrupt:
            raise
        except BaseException:
            chatter.seek(0)
            os.write(terminal, chatter.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def decide(precision="auto", strategy="none"):
    """Looks at the machine, sets Keras's global dtype policy and returns the `Hardware`.

    Args:
        precision: a name in `PRECISIONS`; `"auto"` is mixed precision where the hardware is faster in it:
            `mixed_bfloat16` on GPUs from compute capability 8.0 and on CPUs that gain from it, `mixed_float16` on older
            GPUs from 7.0, `float32` elsewhere.
        strategy: a name in `STRATEGIES`.
    """
    import keras

    backend = keras.backend.backend()
    gpus = find_gpus(backend)
    if precision != "auto":
        policy, reason = precision, "as asked"
    elif gpus:
        policy, reason = _gpu_precision(min(capability for _, capability in gpus))
    elif cpu_gains_from_bfloat16():
        policy, reason = "mixed_bfloat16", "this CPU computes in bfloat16"
    else:
        policy, reason = "float32", "this CPU would gain nothing from bfloat16"
    keras.mixed_precision.set_global_policy(policy)
    name = gpus[0][0] if gpus else cpu_name()
    replicas = _replicas(backend) if strategy == "mirrored" else 1
    xla = backend == "jax" or (bool(gpus) and strategy == "none")
    device = "GPU" if gpus else "CPU"
    return Hardware(device, name, cores(), len(gpus), policy, xla, reason, strategy, replicas, backend)


def find_gpus(backend):
    """Name and compute capability of each GPU that a backend sees."""
    return _tensorflow_gpus() if backend == "tensorflow" else _jax_gpus()


def _tensorflow_gpus():
    import tensorflow as tf

    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return [(d.get("device_name", "GPU"), d.get("compute_capability", (0, 0))) for d in details]


def _jax_gpus():
    import jax

    gpus = [device for device in jax.local_devices() if device.platform == "gpu"]
    capabilities = [str(getattr(gpu, "compute_capability", "0.0")) for gpu in gpus]
    return [(gpu.device_kind, tuple(map(int, c.split(".")))) for gpu, c in zip(gpus, capabilities, strict=True)]


def _replicas(backend):
    """How many devices of this machine can share out a batch."""
    return _mirrored().num_replicas_in_sync if backend == "tensorflow" else _data_parallel().device_mesh.devices.size


@cache
def _data_parallel():
    """JAX's counterpart of `_mirrored`."""
    import keras

    return keras.distribution.DataParallel()


@cache
def _mirrored():
    """TensorFlow's strategy over all GPUs of this machine, or over its logical CPU devices."""
    import tensorflow as tf

    gpus, cpus = (tf.config.list_logical_devices(kind) for kind in ("GPU", "CPU"))
    # TensorFlow's collective operations on CPUs can start in another order on each device, and then fail.
    reduction = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy([device.name for device in gpus or cpus], cross_device_ops=reduction)


def _gpu_precision(capability):
    text = ".".join(map(str, capability))
    policy = "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16" if capability >= (7, 0) else "float32"
    return policy, f"compute capability {text}"


def cores():
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name():
    """The CPU's name as the system gives it."""
    for line in _cpuinfo():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cpu_has_bfloat16():
    """Whether the CPU has bfloat16 instructions (x86: AVX-512 BF16 or AMX; Arm: BF16)."""
    return bool(_cpu_words("flags", "Features") & {"avx512_bf16", "amx_bf16", "bf16"})


def cpu_gains_from_bfloat16():
    """Whether the CPU multiplies bfloat16 faster than float32.

    Intel's do so by AMX, which virtual machines may hide, and not by AVX-512 BF16; all others that have it do.
    """
    if "GenuineIntel" in _cpu_words("vendor_id"):
        return "amx_bf16" in _cpu_words("flags")
    return cpu_has_bfloat16()


def _cpu_words(*names):
    """The words that the system says of the CPU under these names."""
    fields = [line.partition(":") for line in _cpuinfo()]
    return {word for name, _, value in fields if name.strip() in names for word in value.split()}


def _cpuinfo():
    try:
        with open("/proc/cpuinfo") as file:
            return file.read().splitlines()
    except OSError:
        return []
