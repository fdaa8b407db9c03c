"""Puts a trained model into a library, with its record: the weights that come with the repository.

    python experiments/include_weights.py results/unet/oxford_iiit_pet/cpu/mp-tr-bce/seed-0 tfseg/weights/pets

copies `model.keras` and `record.json` of a run to `tfseg/weights/pets.keras` and `pets.json`, as they are.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness import runs  # noqa: E402
from experiments.harness.errors import UserError, run_main  # noqa: E402

MAX_MIB = 12  # a repository keeps every version for good


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a model's folder, which holds model.keras and record.json")
    parser.add_argument("target", type=Path, help="path of the copies, without their suffixes")
    return parser.parse_args(argv)


def main():
    args = parse_arguments()
    weights, record = args.folder / runs.WEIGHTS, args.folder / runs.RECORD
    if not runs.is_finished(args.folder):
        raise UserError(f"{args.folder} does not hold both {runs.WEIGHTS} and {runs.RECORD}")
    mib = weights.stat().st_size / 2**20
    if mib > MAX_MIB:
        raise UserError(f"{weights} has {mib:.1f} MiB; a repository should hold at most {MAX_MIB}: train a smaller one")
    for source, suffix in ((weights, ".keras"), (record, ".json")):
        copy = args.target.with_name(args.target.name + suffix)
        runs.write_atomic(copy, source.read_bytes())
        print(copy)


if __name__ == "__main__":
    run_main(main)
