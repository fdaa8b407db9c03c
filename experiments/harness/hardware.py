"""One decision about the hardware: device, precision policy, XLA. Made once, printed, and kept in every record."""

import os
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass

from experiments.harness.errors import UserError

PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True)
class Hardware:
    """What the computation runs on, and how.

    Attributes:
        device: `"GPU"` or `"CPU"`.
        name: the processor's or card's name.
        cores: CPU cores that this process may use.
        gpus: number of GPUs.
        precision: a Keras dtype policy.
        xla: whether models are compiled by XLA: on GPUs yes; on CPUs never, where it is slower.
        reason: why this precision.
    """

    device: str
    name: str
    cores: int
    gpus: int
    precision: str
    xla: bool
    reason: str

    def __str__(self):
        xla = "on" if self.xla else "off"
        count = f"{self.gpus} x " if self.gpus > 1 else ""
        return f"{self.device} {count}{self.name}, {self.cores} cores; {self.precision} ({self.reason}); XLA {xla}"

    def record(self):
        """The decision as a dictionary for `record.json`."""
        return asdict(self)


def import_tensorflow():
    """Imports TensorFlow (8 to 13 s) and keeps its start-up chatter off the terminal, unless the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
            tf.get_logger().setLevel("ERROR")
        except ModuleNotFoundError as error:
            raise UserError(f"{error.name} is not installed; run: pip install -r requirements.txt") from None
        except BaseException:
            chatter.seek(0)
            os.write(terminal, chatter.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def decide(precision="auto"):
    """Looks at the machine, sets Keras's global dtype policy and returns the `Hardware`.

    Args:
        precision: a name in `PRECISIONS`; `"auto"` is mixed precision where the hardware computes in it natively:
            `mixed_bfloat16` on GPUs from compute capability 8.0 and on CPUs with bfloat16 instructions,
            `mixed_float16` on older GPUs, `float32` elsewhere.
    """
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    if precision != "auto":
        policy, reason = precision, "as asked"
    elif gpus:
        policy, reason = _gpu_precision(min(d.get("compute_capability", (0, 0)) for d in details))
    elif cpu_has_bfloat16():
        policy, reason = "mixed_bfloat16", "this CPU computes in bfloat16"
    else:
        policy, reason = "float32", "this CPU has no bfloat16 instructions"
    keras.mixed_precision.set_global_policy(policy)
    name = details[0].get("device_name", "GPU") if gpus else cpu_name()
    return Hardware("GPU" if gpus else "CPU", name, cores(), len(gpus), policy, bool(gpus), reason)


def _gpu_precision(capability):
    text = ".".join(map(str, capability))
    policy = "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16"
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
    flags = {word for line in _cpuinfo() if line.startswith(("flags", "Features")) for word in line.split()}
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def _cpuinfo():
    try:
        with open("/proc/cpuinfo") as file:
            return file.read().splitlines()
    except OSError:
        return []
