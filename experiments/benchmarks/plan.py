"""What the benchmark measures: its parts, the settings that take turns, and the sizes. Imports nothing heavy."""

import hashlib
import importlib.util
import itertools
import json
import re
from dataclasses import asdict, dataclass, replace

from experiments.harness.running.errors import UserError
from experiments.unets.recipes import PRESETS as UNET_PRESETS
from experiments.unets.recipes import VARIANTS

WORKLOADS = {
    "unet": ("unet",),
    "article": ("article",),
    "cvae": ("cvae-mnist", "cvae-cifar10"),
    "nmt": ("nmt",),
    "decoding": (),
    "memory": (),
}
"""What each part trains: the U-Net of the matrix, the tutorial article's own, the conditional VAEs, the assignment's
transformer. Two train nothing: `decoding` measures what kept keys and values gain while it translates, `memory` how
much memory the U-Net's input pipeline takes."""

PARTS = tuple(WORKLOADS)

PEERS = ("torch",)
"""Other frameworks whose U-Net can take turns with this project's, where they are installed."""

PRESETS = {
    "full": {"parts": PARTS, "settings": "all", "image_size": 128, "filters": 64, "turns": 3, "seconds": 4.0},
    "quick": {
        "parts": ("unet", "cvae"),
        "settings": "default",
        "image_size": 128,
        "filters": 16,
        "turns": 3,
        "seconds": 0.5,
    },
}
DEVICE_SIZES = {
    "CPU": {"batch_size": 8, "unet_batches": 16, "cvae_preset": "cpu", "nmt_tokens": 1024},
    "GPU": {"batch_size": 32, "unet_batches": 104, "cvae_preset": "gpu", "nmt_tokens": 4096},
}
"""What depends on the device, where the user says nothing."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        parts: names in `PARTS`.
        settings: `"all"`: each precision, with and without XLA; `"default"`: only what this project trains with, and
            Keras's defaults beside it.
        image_size, filters, batch_size: of the U-Net; the article's keeps its own filters and batch size.
        turns: how often each setting is timed, and `seconds` for how long each time; see `turn_seconds`.
        unet_batches: in an epoch of the U-Net.
        cvae_preset: a preset of `cvaes.recipes`, which sizes the conditional VAEs.
        nmt_tokens: of a batch of the transformer, on each side.
        peer: a name in `PEERS` whose U-Net takes turns too, or None.
    """

    parts: tuple
    settings: str
    image_size: int
    filters: int
    turns: int
    seconds: float
    batch_size: int
    unet_batches: int
    cvae_preset: str
    nmt_tokens: int
    peer: str | None = None

    def turn_seconds(self, workload):
        """Seconds of a turn; conditional VAEs, whose steps are short, need fewer."""
        return self.seconds * (0.4 if workload in WORKLOADS["cvae"] else 1.0)

    def record(self):
        """The sizes as a dictionary for `record.json`."""
        return asdict(self) | {"parts": list(self.parts)}


def make_sizes(preset, options, device):
    """The sizes of a preset with the user's options.

    Args:
        preset: a name in `PRESETS`.
        options: fields of `Sizes` that the user set.
        device: `"CPU"` or `"GPU"`.
    """
    return Sizes(**{**DEVICE_SIZES[device], **PRESETS[preset], **options})


def check(options):
    """Refuses what can't be measured: an image size that the U-Nets can't take, a peer that is not installed."""
    size, peer = options.get("image_size", 16), options.get("peer")
    if size % 16:
        raise UserError(f"--image-size must be divisible by 16, since the U-Nets halve it 4 times. Received: {size}")
    if peer and importlib.util.find_spec(peer) is None:
        raise UserError(f"--peer {peer}: that package is not installed here; install it, or leave the option out")


def unet_recipe(sizes):
    """The recipe of the U-Net that is measured: that of `mp-tr-bce`, as large as `sizes`, a `Sizes`, says."""
    own = {"image_size": sizes.image_size, "filters": sizes.filters, "batch_size": sizes.batch_size}
    return replace(UNET_PRESETS["cpu"], variant=VARIANTS["mp-tr-bce"], **own)


def workloads(sizes):
    """The workloads of the parts asked for."""
    return [workload for part in sizes.parts for workload in WORKLOADS[part]]


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
        workload: a value in `WORKLOADS`.
        sizes: a `Sizes`.
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
        half = "mixed_bfloat16" if "mixed_bfloat16" in precisions else "float32"
        peers = [(half, "compile"), *[(each, "eager") for each in dict.fromkeys((half, "float32"))]]
        rows += [Row(workload, sizes.peer, *each) for each in peers[: 3 if sizes.settings == "all" else 1]]
    return rows


def native_precisions(device, capability=(0, 0), bfloat16=False):
    """The dtype policies that hardware computes in; elsewhere a precision is emulated, and slow.

    Half precision is native to GPUs from compute capability 7.0 on, bfloat16 from 8.0 on and to CPUs with instructions
    for it. On CPUs TensorFlow emulates half precision for the most part, so that it is left out there.

    Args:
        device: `"CPU"` or `"GPU"`.
        capability: of the GPU.
        bfloat16: whether the CPU has bfloat16 instructions.
    """
    native = {"mixed_float16": device == "GPU" and capability >= (7, 0)}
    native["mixed_bfloat16"] = bfloat16 if device == "CPU" else capability >= (8, 0)
    return ["float32", *[name for name, is_native in native.items() if is_native]]


def folder_name(machine, preset, options):
    """Where a machine's record lies: its name, and a tag where the command was not the plain one.

    Args:
        machine: dictionary with `device`, `name`, `cores` and `backend`.
        preset: a name in `PRESETS`.
        options: fields of `Sizes` that the user set.
    """
    slug = re.sub(r"\W+", "-", f"{machine['device']} {machine['name']} {machine['cores']} cores".lower()).strip("-")
    slug += "-jax" * (machine["backend"] == "jax")
    options = {name: value for name, value in options.items() if name != "peer"}  # which adds rows and changes none
    if options:
        slug += f"-{hashlib.sha256(json.dumps([preset, options], sort_keys=True).encode()).hexdigest()[:6]}"
    elif preset != "full":
        slug += f"-{preset}"
    return slug
