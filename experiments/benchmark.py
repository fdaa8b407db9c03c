"""Measures speed and memory as ratios within one run: this project's training against a plain program's.

    python experiments/benchmark.py            # 15 minutes on 2 cores; nothing else should run meanwhile
    python experiments/benchmark.py --quick    # a minute or two, small networks
    python experiments/benchmark.py --parts cvae --turns 5

Every setting is a process of its own. The settings of a network take turns, so that a busy moment of the machine hits
all alike, and each one's speed is that of its median turn. With them takes turns a product of two large matrices in the
same precision: the machine's ceiling. Writes `results/benchmark/<machine>/record.json`, `results/benchmark.md` and the
speed section of `results/summary.md`, all at the end: a run that is killed leaves nothing.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.benchmarks import decoding  # noqa: E402
from experiments.benchmarks.plan import (  # noqa: E402
    PARTS,
    PEERS,
    check,
    folder_name,
    make_rows,
    make_sizes,
    workloads,
)
from experiments.benchmarks.processes import Child, ChildFailed  # noqa: E402
from experiments.benchmarks.round_robin import Progress, Turns, count_turns  # noqa: E402
from experiments.harness.running import hardware, runs  # noqa: E402
from experiments.harness.running.errors import UserError, run_main  # noqa: E402
from experiments.harness.running.parser import Parser  # noqa: E402

MEMORY_READS = [(cache, photos) for cache in ("memory", "disk", "none") for photos in (500, 2000)]
PHOTO_SIZE = 256  # pixels, of the `memory` part's training images


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="a quick look: small networks, short turns, the two settings that matter")
    add("--parts", nargs="+", choices=PARTS, metavar="PART",
        help=f"any of {', '.join(PARTS)} (default: all; with --quick, unet and cvae)")  # fmt: skip
    add("--settings", choices=["all", "default"],
        help="all: each precision, with and without XLA; default: this project's choice and Keras's "
             "(default: all; with --quick, default)")  # fmt: skip
    add("--image-size", type=runs.whole(16), help="side of the U-Net's images in pixels (default: 128)")
    add("--filters", type=runs.whole(1), help="channels of the U-Net's first level (default: 64; with --quick, 16)")
    add("--batch-size", type=runs.whole(1), help="of the U-Net (default: 8, on a GPU 32)")
    add("--turns", type=runs.whole(1), help="how often each setting is timed (default: 3)")
    add("--seconds", type=runs.number(0),
        help="length of a turn, one step at least; 0.4 times as long for conditional VAEs "
             "(default: 4; with --quick, 0.5)")  # fmt: skip
    add("--peer", choices=PEERS, help="another framework's U-Net takes turns too, where it is installed")
    add("--results", default=str(ROOT / "results"), type=Path, metavar="DIR", help="default: the project's results/")
    args = parser.parse_args(argv)
    args.parts = args.parts and tuple(part for part in PARTS if part in args.parts)
    return args


def overrides(args):
    """The fields of `Sizes` that the command line sets."""
    names = ("parts", "settings", "image_size", "filters", "batch_size", "turns", "seconds", "peer")
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def measure(preset, options):
    """Measures everything.

    Args:
        preset: a name in `benchmarks.plan.PRESETS`.
        options: fields of `Sizes` that the user set.

    Returns:
        The record.
    """
    with Child("experiments.benchmarks.measurements:MachineService") as machine:
        found = machine.call("describe")
        sizes = make_sizes(preset, options, found["hardware"]["device"])
        precisions = found["precisions"]
        print(f"Hardware: {hardware.Hardware(**found['hardware'])}. Precisions: {', '.join(precisions)}.", flush=True)
        reads = MEMORY_READS if "memory" in sizes.parts else ()
        searches = decoding.SEARCHES if "decoding" in sizes.parts else ()
        progress = Progress(count_turns(sizes, found["hardware"], precisions) + len(reads) + len(searches))
        products = {precision: machine.call("prepare_product", precision) for precision in precisions}
        measured = {}
        for workload in workloads(sizes):
            rows = make_rows(workload, sizes, precisions, found["hardware"])
            measured[workload] = Turns(workload, sizes, rows, products, machine, progress).run()
    precision = found["hardware"]["precision"]
    decoded = decoding.measure_decoding(precision, sizes.turns, progress) if searches else None
    memory = measure_pipeline_memory(progress) if reads else None
    return {
        "experiment": "benchmark",
        "command": runs.command_line(),
        "sizes": sizes.record(),
        "workloads": measured,
        "decoding": decoded,
        "pipeline_memory": memory,
        "hardware": found["hardware"],
        "versions": found["versions"],
    }


def measure_pipeline_memory(progress):
    """The memory of the U-Net's input pipeline by cache and size of the dataset, each in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for cache, photos in MEMORY_READS:
            with Child("experiments.benchmarks.memory:PipelineMemory", cache, photos, PHOTO_SIZE, folder) as child:
                rows.append({"cache": cache, "photos": photos, **child.call("measure")})
            text = f"{(rows[-1]['peak'] - rows[-1]['start']) / 2**20:.0f} MiB"
            progress.say(f"input pipeline, cache {cache}, {photos} photos", text, taken=1)
    return {"image_size": PHOTO_SIZE, "rows": rows}


def main():
    args = parse_arguments()
    preset, options = "quick" if args.quick else "full", overrides(args)
    check(options)
    runs.check_writable(args.results)
    print("Starting TensorFlow ...", flush=True)
    try:
        record = measure(preset, options)
    except ChildFailed as error:
        raise UserError(f"the benchmark stopped, nothing was written: {error}") from None
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    folder = args.results / "benchmark" / folder_name(record["hardware"], preset, options)
    runs.write_json(folder / runs.RECORD, record)
    from experiments.benchmarks.report import write_page
    from experiments.maintenance.summary import publish

    print(f"Page: {write_page(args.results)}")
    publish(args.results)
    return int(any("failed" in row for part in record["workloads"].values() for row in part["rows"]))


if __name__ == "__main__":
    sys.exit(run_main(main))
