"""What the records of the benchmark say: `benchmark.md`, a section a machine, and a table in the summary."""

from pathlib import Path

from experiments.benchmarks.report_parts import decoding_part, memory_part, number
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

PAGE_INTRODUCTION = """# Speed and memory

Every figure comes from a `record.json` that `python experiments/benchmark.py` wrote below [benchmark](benchmark/). Each
run makes this page again from all of them, so edits made by hand are lost. To add a machine, run that command on it
while nothing else runs there.

All settings of a network took turns within one run, and a figure is that of the median turn. Only ratios carry over to
other machines. Images are noise of the datasets' shapes.

- *This project*: its own training step, model, optimizer and input pipeline; in bold the setting that it chooses on
  that machine. *Plain program*: the same network in `float32`, trained by `fit` with Adam from `from_tensor_slices`,
  `map` and `batch`; under *Keras's defaults* `jit_compile` stays as it comes, and Keras decides on XLA.
- *Images/s*: of training, input pipeline included; of the transformer, pairs of sentences. *× plain*: as a multiple of
  the plain program's under Keras's defaults. *Step alone*: training on one batch that is always the same.
- *Of ceiling*: images/s of the step alone × 3 × FLOPs of a forward pass of one image / FLOP/s of the fastest product of
  two matrices in the same precision. The 3: forward, gradients with respect to inputs, gradients with respect to
  weights. FLOPs are those of convolutions and dense layers, two a multiply-add. On GPUs TensorFlow computes `float32`
  products and convolutions alike in TF32.
- *Input pipeline*: how much longer a step takes with it than alone, in the median of pairs of turns; below 0 is noise.
- *First step*: compilation included. *Peak memory*: the most that the setting's process ever had in use, TensorFlow's
  own share included; on a GPU, the most of the device's memory.
- *PyTorch* (`--peer torch`, where it is installed): the same network, batch and loss with a fused AdamW and no metrics.
- Precisions are those that the machine computes in: half precision is left out on CPUs, where it is emulated."""

SECTION_INTRODUCTION = """## Speed

Training in the setting that this project chooses on each machine, and how many times as fast that is as a plain program
that trains the same network in `float32` under Keras's defaults. Both took turns within one run, on images of noise.
*Of ceiling*: the share of the machine's fastest matrix product in the same precision that training steps reach. *Input
pipeline*: what it adds to a step. More, and how it was measured: [benchmark.md](benchmark.md)."""


def benchmark_section(records, results_dir):
    """The speed section of the summary: one line a machine and network.

    Args:
        records: records of the experiment.
        results_dir: folder of the summary.

    Returns:
        Markdown.
    """
    parts = [SECTION_INTRODUCTION]
    parts += [short_table(records)] if _parts(records) else []
    return "\n\n".join(parts + _outdated(records))


def short_table(records):
    """One line a machine and network: what this project's setting there gains."""
    header = ["machine", "network", "this project", "images/s", "× plain", "× plain, other XLA"]
    header += ["of ceiling", "of ceiling in float32", "input pipeline"]
    return report.table(header, [_short_row(*each) for each in _parts(records)], left=3)


def page(records):
    """`benchmark.md`: Markdown with a section a machine."""
    sections = [_machine(record) for record in records if "workloads" in record]
    return "\n\n".join([PAGE_INTRODUCTION, *sections, *_outdated(records)]) + "\n"


def write_page(results_dir):
    """Writes `benchmark.md` from all records of the benchmark below a folder, atomically; returns its path."""
    records = [r for r in report.read_records(results_dir) if r["experiment"] == "benchmark"]
    path = Path(results_dir) / "benchmark.md"
    write_atomic(path, page(records))
    return path


def _parts(records):
    return [(r, name, part) for r in records for name, part in r.get("workloads", {}).items()]


def _outdated(records):
    """A line on each record of an earlier version of the benchmark, which measured other things."""
    return [
        f"`{record['folder']}` was measured by an earlier version: run `python experiments/benchmark.py` again."
        for record in records
        if "workloads" not in record
    ]


def find(part, **wanted):
    """The first row of a workload's part of a record with these values that did not fail, or None."""
    for row in part["rows"]:
        if "failed" not in row and all(row[key] == value for key, value in wanted.items()):
            return row
    return None


def _short_row(record, name, part):
    own, plain = find(part, default=True), find(part, xla="auto")
    other = next((row for row in part["rows"] if row["loop"] == "plain" and row is not plain), None)
    exact = find(part, loop="project", precision="float32", xla=record["hardware"]["xla"])
    setting = f"{own['precision']}, XLA {_xla(own)}" if own else None
    shares = [_percent(row and row.get("ceiling_share")) for row in (own, exact)]
    speed = number(_speed(own)) if own else None
    ratios = [_ratio(own, row) and f"{_ratio(own, row)} (XLA {_xla(row)})" for row in (plain, other)]
    return [machine(record), TITLES[name], setting, speed, *ratios, *shares, _percent(own and own["pipeline_share"], 1)]


def machine(record):
    """What a record's machine is called, with the folder's tag where the command was not the plain one."""
    known, folder = record["hardware"], record["folder"].rsplit("/", 1)[-1]
    count = f"{known['gpus']} x " if known["gpus"] > 1 else ""
    backend = ", Keras on JAX" * (known.get("backend") == "jax")
    tag = "" if folder.endswith(("cores", "cores-jax")) else f" (`{folder.rsplit('-', 1)[-1]}`)"
    return f"{known['device']}, {count}{known['name']}, {known['cores']} cores{backend}{tag}"


def _xla(row):
    """Whether XLA was on; of a row that failed early, whether it was to be."""
    xla = row.get("xla_used", row["xla"])
    return {True: "on", False: "off", "auto": "as Keras chooses", "compile": "`torch.compile`"}.get(xla, xla)


def _machine(record):
    parts = [f"## {machine(record)}", f"{report.software(record)}. Made by:", report.code_block([record["command"]])]
    for name, part in record["workloads"].items():
        parts.append(f"### {TITLES[name]}")
        parts += _workload(part)
    for name, write in (("decoding", decoding_part), ("pipeline_memory", memory_part)):
        parts += write(record[name]) if record.get(name) else []
    return "\n\n".join(parts)


def _workload(part):
    """Markdown of one network: what it is, a table of its settings, and what to read off it."""
    gpu = any("device_peak" in row.get("memory", {}) for row in part["rows"])
    header = ["setting", "precision", "XLA", "images/s", "× plain", "step alone", "of ceiling", "input pipeline"]
    header += ["inference, images/s", "first step, s", "peak device memory, MiB" if gpu else "peak memory, MiB"]
    plain = find(part, xla="auto")
    rows = [_row(row, plain, gpu) for row in part["rows"]]
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
    flops = number(part["forward_flops"] / GIGA)
    return (
        f"{part['network']}: {part['parameters']:,} parameters, {unit} of {shape}, batches of {part['batch_size']}, "
        f"{flops} GFLOPs a forward pass of one {unit[:-1]}. Matrix products: {ceilings}. "
        f"The input pipeline alone: {number(part['pipeline']['images_per_second'])} {unit}/s{_unhidden(part)}."
    )


def _unhidden(part):
    """What the input pipeline would add to a step of this project if nothing of it ran beside the step."""
    steps = [row["images_per_second"]["step"] for row in part["rows"] if row["default"] and "failed" not in row]
    if not steps:
        return ""
    return f", which is {steps[0] / part['pipeline']['images_per_second']:.1%} of a step of the setting in bold"


def _setting(row):
    if row["loop"] == "project":
        return "**this project**" if row["default"] else "this project"
    if row["loop"] == "torch":
        return "PyTorch, channels last"
    return "plain program, Keras's defaults" if row["xla"] == "auto" else "plain program"


def _row(row, plain, gpu):
    if "failed" in row:
        return [_setting(row), row["precision"], _xla(row), "failed", *[None] * 7]
    speeds = row["images_per_second"]
    return [
        _setting(row),
        row["precision"],
        _xla(row),
        number(_speed(row)),
        _ratio(row, plain),
        number(speeds.get("step")),
        _percent(row.get("ceiling_share")),
        _percent(row.get("pipeline_share"), 1),
        number(speeds.get("inference")),
        number(row["first_step_seconds"]),
        f"{row['memory']['device_peak' if gpu else 'peak'] / MIB:,.0f}",
    ]


def _reading(part):
    """What this project's setting gains over each plain program, and whether some settings had fewer turns."""
    own, text = find(part, default=True), []
    plain = [row for row in part["rows"] if row["loop"] == "plain" and "failed" not in row]
    if own and plain:
        chosen = {True: " (Keras's choice)", False: ""}
        gains = [f"{_ratio(own, row)} times with XLA {_xla(row)}{chosen[row['xla'] == 'auto']}" for row in plain]
        text.append(f"Images/s of the setting in bold against the plain program's: {', '.join(gains)}.")
    peers = [row for row in part["rows"] if row["loop"] == "torch" and "failed" not in row]
    if own and peers:
        best = max(peers, key=lambda row: row["images_per_second"]["step"])
        ratio = own["images_per_second"]["step"] / best["images_per_second"]["step"]
        setting = f"{best['precision']}, {_xla(best)}"
        text.append(f"Step alone against {best['framework']} at its best ({setting}): {ratio:.2f} times.")
    turns = [len(values) for row in part["rows"] if "failed" not in row for values in row["turns"].values()]
    if turns and min(turns) < max(turns):
        text.append(f"{max(turns)} turns each; where a single step takes much longer than a turn, one.")
    return [" ".join(text)] if text else []


def _speed(row):
    return row["images_per_second"].get("together")


def _ratio(row, base):
    comparable = row and base and "failed" not in base and _speed(row)
    return f"{_speed(row) / _speed(base):.2f}" if comparable else None


def _percent(value, digits=0):
    return None if value is None else f"{100 * value:.{digits}f} %"


SECTIONS = (report.Section("benchmark", 9, benchmark_section, short_table),)
