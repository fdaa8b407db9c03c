"""Measures speed as ratios within one run: the article's training loop under Keras's defaults against ours.

    python experiments/benchmark.py            # a few minutes on 2 cores; nothing else should run meanwhile

Every setting trains the same network, the tutorial article's at its own batch size, on the same random images. The
settings take turns, and each one's speed is that of its median turn, so that a busy moment of the machine hits all
alike. Writes `results/benchmark/<machine>/record.json` and the speed section of `results/summary.md`.
"""

import argparse
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness import hardware, runs  # noqa: E402
from experiments.harness.errors import run_main  # noqa: E402

SETTINGS = {
    "Keras's defaults": {"precision": "float32", "jit_compile": "auto"},
    "without XLA": {"precision": "float32", "jit_compile": False},
    "with XLA": {"precision": "float32", "jit_compile": True},
    "this project": {"precision": "auto", "jit_compile": None},
}
"""Precision and `jit_compile` of each row; None is what `hardware.decide` says of this machine. Keras's own `"auto"`
becomes True or False by the devices that it sees; the record says which."""


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--image-size", type=runs.whole(16), default=128, help="side in pixels (default: %(default)s)")
    add("--filters", type=runs.whole(1), default=32, help="channels of the first level (default: %(default)s)")
    add("--batch-size", type=runs.whole(1), default=32, help="default: %(default)s")
    add("--turns", type=runs.whole(1), default=3, help="how often each setting is timed (default: %(default)s)")
    add("--seconds", type=runs.whole(1), default=10, help="length of a turn, at least one step (default: %(default)s)")
    add("--results", default=str(ROOT / "results"), type=Path, metavar="DIR", help="default: the project's results/")
    return parser.parse_args(argv)


def build_step(precision, jit_compile, args):
    """The article's network, compiled, and a function that does one training step of it on random images."""
    import keras
    import numpy as np

    from tfseg.losses import LOSSES
    from tfseg.tutorial import build_tutorial_unet

    keras.mixed_precision.set_global_policy(precision)
    model = build_tutorial_unet((args.image_size, args.image_size, 3), args.filters)
    model.compile(keras.optimizers.Adam(), LOSSES["bce"], jit_compile=jit_compile)
    rng = np.random.default_rng(0)
    images = rng.random((args.batch_size, args.image_size, args.image_size, 3), dtype=np.float32)
    targets = rng.integers(0, 3, (args.batch_size, args.image_size, args.image_size, 1), dtype=np.uint8)
    return model, lambda: model.train_on_batch(images, targets)


def images_per_second(step, batch_size, seconds):
    """Runs steps for so many seconds, at least one; returns images a second."""
    started, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - started < seconds:
        step()
        steps += 1
    return steps * batch_size / (time.perf_counter() - started)


def main():
    args = parse_arguments()
    runs.check_writable(args.results)
    print("Starting TensorFlow ...", flush=True)
    hardware.import_tensorflow()
    import numpy as np

    from experiments.harness import report
    from experiments.sections import SECTIONS

    machine = hardware.decide()
    print(f"Hardware: {machine}")
    rows, steps = {}, {}
    for name, setting in SETTINGS.items():
        precision = machine.precision if setting["precision"] == "auto" else setting["precision"]
        jit_compile = machine.xla if setting["jit_compile"] is None else setting["jit_compile"]
        model, steps[name] = build_step(precision, jit_compile, args)
        rows[name] = {"precision": precision, "jit_compile": jit_compile, "xla": model.jit_compile, "turns": []}
        started = time.perf_counter()
        steps[name]()
        rows[name]["first_step_seconds"] = time.perf_counter() - started
        print(f"{name}: first step, compilation included, {rows[name]['first_step_seconds']:.1f} s", flush=True)
    for turn in range(args.turns):
        for name, step in steps.items():
            rows[name]["turns"].append(images_per_second(step, args.batch_size, args.seconds))
            print(f"turn {turn + 1}/{args.turns}, {name}: {rows[name]['turns'][-1]:.2f} images/s", flush=True)
    for row in rows.values():
        row["images_per_second"] = float(np.median(row["turns"]))
    record = {
        "experiment": "benchmark",
        "command": runs.command_line(),
        "network": "tutorial",
        "image_size": args.image_size,
        "filters": args.filters,
        "batch_size": args.batch_size,
        "rows": rows,
        "hardware": machine.record(),
        "versions": runs.versions(),
    }
    slug = re.sub(r"\W+", "-", f"{machine.device} {machine.name} {machine.cores} cores".lower()).strip("-")
    runs.write_json(args.results / "benchmark" / slug / runs.RECORD, record)
    print(f"Summary: {report.write_summary(args.results, SECTIONS)}")


if __name__ == "__main__":
    run_main(main)
