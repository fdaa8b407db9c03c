"""Measures speed and memory as ratios within one run: this project's training against a plain program's.

    python experiments/benchmark.py            # half an hour on 2 cores; nothing else should run meanwhile
    python experiments/benchmark.py --quick    # a minute or two, small networks
    python experiments/benchmark.py --parts cvae --turns 5

Every setting is a process of its own. The settings of a network take turns, so that a busy moment of the machine hits
all alike, and each one's speed is that of its median turn. With them takes turns a product of two large matrices in the
same precision: the machine's ceiling. Writes `results/benchmark/<machine>/record.json`, `results/benchmark.md` and the
speed section of `results/summary.md`, all at the end: a run that is killed leaves nothing.
"""

import importlib.util
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.benchmarks import buckets, decoding, memory
from experiments.benchmarks.plan import PARTS, Sizes, folder_name, make_rows, make_sizes
from experiments.benchmarks.processes import Child, ChildFailed
from experiments.benchmarks.round_robin import Progress, RoundRobin
from experiments.harness.running import hardware, recipe, runs
from experiments.harness.running.errors import UserError, run_main
from experiments.harness.running.parser import Parser


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="a quick look: small networks, short turns, the two settings that matter")
    recipe.add_options(parser, Sizes)
    add("--results", default=str(ROOT / "results"), type=Path, metavar="DIR", help="default: the project's results/")
    args = parser.parse_args(argv)
    if args.image_size and args.image_size % 16:
        parser.error(f"--image-size must be divisible by 16, since the U-Nets halve it 4 times; got {args.image_size}")
    args.parts = args.parts and tuple(part for part in PARTS if part in args.parts)
    return args


def measure(quick, options):
    """Measures everything; returns the record, and the name of its folder.

    Args:
        quick: whether a quick look is all that is asked for.
        options: fields of `Sizes` that the user set.
    """
    with Child("experiments.benchmarks.measurements:MachineService") as machine:
        found = machine.call("describe")
        known, precisions = found["hardware"], found["precisions"]
        sizes = make_sizes(known["device"], quick, **options)
        print(f"Hardware: {hardware.Hardware(**known)}. Precisions: {', '.join(precisions)}.", flush=True)
        rows = {workload: make_rows(workload, sizes, precisions, known) for workload in sizes.workloads()}
        turns = sizes.turns * sum(1 + len(each) for each in rows.values())  # in each the machine itself takes one, too
        others = {"buckets": ["both"], "decoding": decoding.SEARCHES, "memory": memory.READS}
        progress = Progress(turns + sum(len(each) for part, each in others.items() if part in sizes.parts))
        products = {precision: machine.call("prepare_product", precision) for precision in precisions}
        builders = 1 if known["device"] == "CPU" else 16  # a GPU idles while programs for it compile
        measured = {
            workload: RoundRobin(workload, sizes, each, products, machine, progress, builders).run()
            for workload, each in rows.items()
        }

    def alone(part, measure, *arguments):
        """What a part measures; None where it is not asked for, or fails beside others that were measured."""
        if part not in sizes.parts:
            return None
        try:
            return measure(*arguments, progress)
        except ChildFailed as error:
            if not measured:
                raise
            print(f"error: {part}: {error}", file=sys.stderr, flush=True)

    record = {
        "experiment": "benchmark",
        "command": runs.command_line(),
        "sizes": asdict(sizes),
        "workloads": measured,
        "buckets": alone("buckets", buckets.measure_buckets, sizes.turns),
        "decoding": alone("decoding", decoding.measure_decoding, sizes.turns),
        "pipeline_memory": alone("memory", memory.measure_pipeline_memory),
        "hardware": known,
        "versions": found["versions"],
    }
    return record, folder_name(known, sizes)


def main():
    args = parse_arguments()
    if args.peer and importlib.util.find_spec(args.peer) is None:
        raise UserError(f"--peer {args.peer}: that package is not installed here; install it, or leave the option out")
    folder = args.results / "benchmark"
    runs.check_writable(folder if folder.exists() else args.results)
    print("Starting TensorFlow ...", flush=True)
    try:
        record, name = measure(args.quick, recipe.given(args, Sizes))
    except ChildFailed as error:
        raise UserError(f"the benchmark stopped, nothing was written: {error}") from None
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    runs.write_json(args.results / "benchmark" / name / runs.RECORD, record)
    from experiments.benchmarks.report import write_page
    from experiments.maintenance.summary import publish

    print(f"Page: {write_page(args.results)}")
    publish(args.results)
    parts = {"buckets": "buckets", "decoding": "decoding", "memory": "pipeline_memory"}
    lost = any(record[name] is None for part, name in parts.items() if part in record["sizes"]["parts"])
    return int(lost or any("failed" in row for part in record["workloads"].values() for row in part["rows"]))


if __name__ == "__main__":
    sys.exit(run_main(main))
