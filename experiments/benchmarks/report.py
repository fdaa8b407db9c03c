"""What the records of the benchmark say: `benchmark.md`, a section a machine, and a table in the summary."""

import re
from pathlib import Path

from experiments.benchmarks.buckets import tell_buckets
from experiments.benchmarks.decoding import tell_decoding
from experiments.benchmarks.memory import tell_pipeline_memory
from experiments.harness.reporting import report
from experiments.harness.running.runs import write_atomic

MIB, GIGA = 2**20, 1e9

TITLES = {
    "unet": "U-Net",
    "article": "The article's U-Net",
    "cvae-mnist": "Conditional VAE, MNIST's shape",
    "cvae-cifar10": "Conditional VAE, CIFAR-10's shape",
    "nmt": "Transformer, sentences of 24 tokens",
}

XLA = {True: "on", False: "off", "auto": "as Keras chooses", "compile": "`torch.compile`", "eager": "eager"}

PAGE_INTRODUCTION = """# Speed and memory

Every figure comes from a `record.json` that `python experiments/benchmark.py` wrote below [benchmark](benchmark/). Each
run makes this page again from all of them, so edits made by hand are lost. To add a machine, run that command on it
while nothing else runs there.

All settings of a network took turns within one run, and a figure is that of the median turn. Only ratios carry over to
other machines. Images are noise of the datasets' shapes.

- *This project*: its own training step, model, optimizer and input pipeline; in bold the setting that it chooses on
  that machine. *Plain program*: the same network in `float32`, trained by `fit` with Adam from `from_tensor_slices`,
  `map` and `batch`; under *Keras's defaults* `jit_compile` stays as it comes, and Keras decides on XLA. The
  transformer's has this project's layers, but neither its Adam, nor clipped gradients and averaged weights.
- *Images/s*: of training, input pipeline included; of the transformer, pairs of sentences. *× plain*: as a multiple of
  the plain program's under Keras's defaults. *Step alone*: training on one batch that is always the same.
- *Of ceiling*: images/s of the step alone × 3 × FLOPs of a forward pass of one image / FLOP/s of the fastest product of
  two matrices in the same precision. The 3: forward, gradients with respect to inputs, gradients with respect to
  weights. FLOPs are those of convolutions and dense layers, two a multiply-add. On GPUs TensorFlow computes `float32`
  products and convolutions alike in TF32.
- *Input pipeline*: how much longer a step takes with it than alone, in the median of pairs of turns; below 0 is noise.
- *First step*: compilation included, on GPUs that of all settings side by side. *Peak memory*: the most that the
  setting's process ever had in use, TensorFlow's own share included; on a GPU, the most of the device's memory.
- *PyTorch* (`--peer torch`, where it is installed): the same network, batch and loss with a fused AdamW and no metrics.
- Precisions are those that the machine computes in: half precision is left out on CPUs, where it is emulated."""

SECTION_INTRODUCTION = """## Speed

Training in the setting that this project chooses on each machine, and how many times as fast that is as a plain program
that trains the same network in `float32` under Keras's defaults. Both took turns within one run, on images of noise.
*Of ceiling*: the share of the machine's fastest matrix product in the same precision that training steps reach. *Input
pipeline*: what it adds to a step. More, and how it was measured: [benchmark.md](benchmark.md)."""


def benchmark_section(records, results_dir):
    """The speed section of the summary: one line a machine and network."""
    return f"{SECTION_INTRODUCTION}\n\n{short_table(records)}"


def short_table(records):
    """One line a machine and network: what this project's setting there gains."""
    header = ["machine", "network", "this project", "images/s", "× plain", "× plain, other XLA"]
    header += ["of ceiling", "of ceiling in float32", "input pipeline"]
    rows = [_short_row(record, *each) for record in records for each in record["workloads"].items()]
    return report.table(header, rows, left=3)


def page(records):
    """`benchmark.md`: Markdown with a section a machine."""
    return "\n\n".join([PAGE_INTRODUCTION, *map(_machine, records)]) + "\n"


def write_page(results_dir):
    """Writes `benchmark.md` from all records of the benchmark below a folder, atomically; returns its path."""
    records = [r for r in report.read_records(results_dir) if r["experiment"] == "benchmark"]
    path = Path(results_dir) / "benchmark.md"
    write_atomic(path, page(records))
    return path


def machine(record):
    """What a record's machine is called, with the folder's tag where the command was not the plain one.

    CPUs that compute in bfloat16 say so, since others of that name may not.
    """
    known, tag = record["hardware"], re.search(r"-([0-9a-f]{6}|quick)$", record["folder"])
    count = f"{known['gpus']} x " if known["gpus"] > 1 else ""
    backend = ", Keras on JAX" * (known.get("backend") == "jax")
    backend = ", bfloat16" * ("-bfloat16" in record["folder"]) + backend
    tagged = f" (`{tag[1]}`)" if tag else ""
    return f"{known['device']}, {count}{known['name']}, {known['cores']} cores{backend}{tagged}"


# What a record says of one network; of a setting that failed, or was not measured, there are no figures.


def find(part, **wanted):
    """The rows of a workload's part of a record that have these values and did not fail."""
    return [r for r in part["rows"] if "failed" not in r and all(r[key] == value for key, value in wanted.items())]


def _first(rows):
    return next(iter(rows), {})


def _speed(row, measure="together"):
    return row.get("images_per_second", {}).get(measure)


def _ratio(row, base, measure="together"):
    """How many times as fast one setting is as another."""
    speed, other = _speed(row, measure), _speed(base, measure)
    return f"{speed / other:.2f}" if speed and other else None


def _percent(share, digits=0):
    return None if share is None else f"{100 * share:.{digits}f} %"


def number(value):
    """Three significant digits, and more before the point: `0.0612`, `3.91`, `48.2`, `1,204`."""
    if value is None:
        return None
    if value < 1:
        return f"{value:.3g}"
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _xla(row):
    """Whether XLA was on; of a row that failed early, whether it was to be."""
    return XLA[row.get("xla_used", row["xla"])]


def _short_row(record, name, part):
    own, plain = _first(find(part, default=True)), find(part, loop="plain")
    usual, other = (_first(r for r in plain if (r["xla"] == "auto") == is_usual) for is_usual in (True, False))
    exact = _first(find(part, loop="project", precision="float32", xla=record["hardware"]["xla"]))
    return [
        machine(record),
        TITLES[name],
        f"{own['precision']}, XLA {_xla(own)}" if own else None,
        number(_speed(own)),
        *[(times := _ratio(own, row)) and f"{times} (XLA {_xla(row)})" for row in (usual, other)],
        *[_percent(row.get("ceiling_share")) for row in (own, exact)],
        _percent(own.get("pipeline_share"), 1),
    ]


def _machine(record):
    parts = [
        f"## {machine(record)}",
        f"{report.software(record)}. Made by:",
        report.code_block([report.command(record)]),
    ]
    for name, part in record["workloads"].items():
        parts += [f"### {TITLES[name]}", *_workload(part)]
    for name, write in (
        ("buckets", tell_buckets),
        ("decoding", tell_decoding),
        ("pipeline_memory", tell_pipeline_memory),
    ):
        parts += write(record[name]) if record.get(name) else []
    return "\n\n".join(parts)


def _workload(part):
    """Markdown of one network: what it is, a table of its settings, and what to read off it."""
    on_gpu = any("device_peak" in row.get("memory", {}) for row in part["rows"])
    header = ["setting", "precision", "XLA", "images/s", "× plain", "step alone", "of ceiling", "input pipeline"]
    header += ["inference, images/s", "first step, s", "peak device memory, MiB" if on_gpu else "peak memory, MiB"]
    plain = _first(find(part, xla="auto"))
    rows = [_row(row, plain, "device_peak" if on_gpu else "peak") for row in part["rows"]]
    failed = [row for row in part["rows"] if "failed" in row]
    notes = [f"{_setting(row)}, {row['precision']}, XLA {_xla(row)}, failed: {row['failed']}." for row in failed]
    return [_what(part), report.table(header, rows, left=3), *_reading(part), *notes]


def _what(part):
    if not part.get("network"):
        return "No setting worked."
    unit, shape = part.get("unit", "images"), " x ".join(map(str, part["image_shape"]))
    shape += " tokens" * (unit == "sentences")
    ceilings = "; ".join(
        f"{number(each['flops_per_second'] / GIGA)} GFLOP/s in {each['dtype']} ({each['side']} x {each['side']})"
        for each in part["ceilings"].values()
    )
    flops, pipeline = number(part["forward_flops"] / GIGA), part["pipeline"]["images_per_second"]
    step = _speed(_first(find(part, default=True)), "step")
    share = f", which is {step / pipeline:.1%} of a step of the setting in bold" if step else ""
    return (
        f"{part['network']}: {part['parameters']:,} parameters, {unit} of {shape}, batches of {part['batch_size']}, "
        f"{flops} GFLOPs a forward pass of one {unit[:-1]}. Matrix products: {ceilings}. "
        f"The input pipeline alone: {number(pipeline)} {unit}/s{share}."
    )


def _setting(row):
    names = {
        "torch": "PyTorch, channels last",
        "plain": "plain program" + ", Keras's defaults" * (row["xla"] == "auto"),
    }
    return names.get(row["loop"], "**this project**" if row["default"] else "this project")


def _row(row, plain, memory):
    peak = row.get("memory", {}).get(memory)
    return [
        _setting(row),
        row["precision"],
        _xla(row),
        "failed" if "failed" in row else number(_speed(row)),
        _ratio(row, plain),
        number(_speed(row, "step")),
        _percent(row.get("ceiling_share")),
        _percent(row.get("pipeline_share"), 1),
        number(_speed(row, "inference")),
        number(row.get("first_step_seconds")),
        peak and f"{peak / MIB:,.0f}",
    ]


def _reading(part):
    """What this project's setting gains over each plain program, and over PyTorch's fastest setting."""
    own, text = _first(find(part, default=True)), []
    plain, peers = find(part, loop="plain"), find(part, loop="torch")
    if own and plain:
        chosen = {True: " (Keras's choice)", False: ""}
        gains = [f"{_ratio(own, row)} times with XLA {_xla(row)}{chosen[row['xla'] == 'auto']}" for row in plain]
        text.append(f"Images/s of the setting in bold against the plain program's: {', '.join(gains)}.")
    if own and peers:
        best = max(peers, key=lambda row: _speed(row, "step"))
        setting = f"{best['precision']}, {_xla(best)}"
        ratio = _ratio(own, best, "step")
        text.append(f"Step alone against {best['framework']} at its best ({setting}): {ratio} times.")
    if own.get("kernels"):
        shares = ", ".join(f"{kind} {share:.0%}" for kind, share in own["kernels"].items() if share >= 0.005)
        text.append(f"Where a step of the setting in bold spends its time: {shares}.")
    return [" ".join(text)] if text else []


SECTIONS = (report.Section("benchmark", 9, benchmark_section, short_table),)
