"""What the benchmark measures: its parts, the settings that take turns, and the sizes. Imports nothing heavy."""

import hashlib
import itertools
import json
import re
from dataclasses import asdict, dataclass, replace

from experiments.harness.running.recipe import setting
from experiments.unets.recipes import PRESETS as UNET_PRESETS
from experiments.unets.recipes import VARIANTS

WORKLOADS = {
    "unet": ("unet",),
    "article": ("article",),
    "cvae": ("cvae-mnist", "cvae-cifar10"),
    "nmt": ("nmt",),
    "buckets": (),
    "decoding": (),
    "memory": (),
}
"""What each part trains: the U-Net of the matrix, the tutorial article's own, the conditional VAEs, the assignment's
transformer. The others are measured apart: `buckets`, what batches of like lengths gain in its training; `decoding`,
what kept keys and values gain while it translates; `memory`, how much the U-Net's input pipeline takes."""

PARTS = tuple(WORKLOADS)


@dataclass(frozen=True)
class Sizes:
    """How much is measured: on a CPU, where nothing else is asked for, this. The article's U-Net keeps its own filters
    and batch size."""

    parts: tuple = setting(
        PARTS,
        f"any of {', '.join(PARTS)} (default: all; with --quick, unet and cvae)",
        names=PARTS,
        option={"nargs": "+", "metavar": "PART"},
    )
    settings: str = setting(
        "all",
        "all: each precision, with and without XLA; default: this project's choice and Keras's (default: all; with "
        "--quick, default)",
        names=("all", "default"),
        option=True,
    )
    image_size: int = setting(128, "side of the U-Net's images in pixels (default: 128)", least=16, option=True)
    filters: int = setting(
        64, "channels of the U-Net's first level (default: 64; with --quick, 16)", least=1, option=True
    )
    batch_size: int = setting(8, "of the U-Net (default: 8, on a GPU 32)", least=1, option=True)
    turns: int = setting(3, "how often each setting is timed (default: 3)", least=1, option=True)
    seconds: float = setting(
        4.0,
        "length of a turn, one step at least; 0.4 times as long for conditional VAEs (default: 4, on a GPU 1; with "
        "--quick, 0.5)",
        option=True,
    )
    peer: str | None = setting(
        None, "another framework's U-Net takes turns too, where it is installed", names=("torch",), option=True
    )
    unet_batches: int = setting(16, "in an epoch of the U-Net", least=1)
    cvae_preset: str = setting("cpu", "of `cvaes.recipes`, which sizes the conditional VAEs")
    nmt_tokens: int = setting(2048, "of a batch of the transformer, on each side", least=1)

    def turn_seconds(self, workload):
        """Seconds of a turn; conditional VAEs, whose steps are short, need fewer."""
        return self.seconds * (0.4 if workload in WORKLOADS["cvae"] else 1.0)

    def workloads(self):
        """What the parts train."""
        return [workload for part in self.parts for workload in WORKLOADS[part]]

    def unet_recipe(self):
        """The recipe of the U-Net: that of `mp-tr-bce`, as large as is asked for."""
        own = {"image_size": self.image_size, "filters": self.filters, "batch_size": self.batch_size, "half_size": 0.0}
        return replace(UNET_PRESETS["cpu"], variant=VARIANTS["mp-tr-bce"], **own)


ON_GPU = {"batch_size": 32, "unet_batches": 104, "cvae_preset": "gpu", "nmt_tokens": 4096, "seconds": 1.0}
QUICK = {"parts": ("unet", "cvae"), "settings": "default", "filters": 16, "seconds": 0.5}


def make_sizes(device, quick=False, **options):
    """The sizes for a device, `"CPU"` or `"GPU"`, with the user's options."""
    return Sizes(**((ON_GPU if device == "GPU" else {}) | (QUICK if quick else {}) | options))


@dataclass(frozen=True)
class Row:
    """One setting of one workload, measured in a process of its own.

    Attributes:
        workload: a value in `WORKLOADS`.
        loop: `"project"`; `"plain"`: the article's loop, as a first program under Keras would have it; `"torch"`.
        precision: a Keras dtype policy.
        xla: True, False, or `"auto"`, which is Keras's default and which Keras resolves; of PyTorch `"compile"`, which
            stands for `torch.compile`, or `"eager"`.
        default: whether this is how this project trains on this machine.
    """

    workload: str
    loop: str
    precision: str
    xla: object
    default: bool = False

    @property
    def measures(self):
        """What is timed, in this order or, every other turn, the other way round."""
        return {"project": ("step", "together", "inference"), "plain": ("together",), "torch": ("step",)}[self.loop]

    def __str__(self):
        xla = {True: "XLA on", False: "XLA off", "auto": "Keras's defaults"}.get(self.xla, self.xla)
        return f"{self.workload}, {self.loop} loop, {self.precision}, {xla}"


def make_rows(workload, sizes, precisions, machine):
    """The rows of one workload, in the order in which they take turns.

    Args:
        precisions: dtype policies that the machine computes in.
        machine: dictionary with `precision`, `xla` and `backend`: what this project uses here. Under JAX, XLA is always
            on.
    """
    own, plain, with_jax = (machine["precision"], machine["xla"]), ["auto"], machine["backend"] == "jax"
    project = [own]
    if sizes.settings == "all":
        plain += [not machine["xla"]] * (not with_jax)  # the other way round than Keras chooses
        if workload != "article":
            project = list(itertools.product(precisions, (True,) if with_jax else (False, True)))
    rows = [Row(workload, "plain", "float32", xla) for xla in plain]
    rows += [Row(workload, "project", *each, default=each == own) for each in project]
    if sizes.peer and workload == "unet":
        loops = ("compile", "eager") if sizes.settings == "all" else ("compile",)
        both = [each for each in ("mixed_bfloat16", "float32") if each in precisions]
        rows += [Row(workload, sizes.peer, precision, loop) for loop in loops for precision in both]
    return rows


def native_precisions(device, capability=(0, 0), bfloat16=False):
    """The dtype policies that hardware computes in; elsewhere a precision is emulated, and slow.

    Half precision is native to GPUs from compute capability 7.0 on, bfloat16 from 8.0 on and to CPUs with instructions
    for it. On CPUs TensorFlow emulates half precision for the most part, so that it is left out there.
    """
    native = {"mixed_float16": device == "GPU" and capability >= (7, 0)}
    native["mixed_bfloat16"] = bfloat16 if device == "CPU" else capability >= (8, 0)
    return ["float32", *[name for name, is_native in native.items() if is_native]]


def folder_name(machine, sizes):
    """Where a machine's record lies: its name, and a tag where the command was not the plain one.

    CPUs with and without bfloat16 can have the same name, and so two folders.

    Args:
        machine: dictionary with `device`, `name`, `cores`, `precision` and `backend`.
        sizes: a `Sizes`; a peer, which adds rows and changes none, makes no difference.
    """
    name = re.sub(r"\W+", "-", f"{machine['device']} {machine['name']} {machine['cores']} cores".lower()).strip("-")
    name += "-bfloat16" * (machine["device"] == "CPU" and machine["precision"] == "mixed_bfloat16")
    name += "-jax" * (machine["backend"] == "jax")
    sizes, plain = replace(sizes, peer=None), make_sizes(machine["device"])
    if sizes == plain:
        return name
    if sizes == make_sizes(machine["device"], quick=True):
        return f"{name}-quick"
    changed = dict(asdict(sizes).items() - asdict(plain).items())
    return f"{name}-{hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:6]}"
