"""Puts a trained model into a library, with its record: the weights that come with the repository.

    python experiments/include_weights.py results/unet/oxford_iiit_pet/cpu/mp-tr-bce/seed-0 tfseg/weights/pets
    python experiments/include_weights.py results/cvae/mnist/cpu/standard/seed-0 tfcvae/weights/mnist

copies `model.keras` and `record.json` of a run to `tfseg/weights/pets.keras` and `pets.json`, as they are; of a
conditional VAE also its judge's, to `tfcvae/weights/mnist-judge.keras` and `mnist-judge.json`.
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


def judge_folder(folder, record):
    """Where the judge of a conditional VAE lies; `record` is the model's, which lies in `folder`."""
    inner = Path(record["experiment"], record["dataset"], record["run"], record["variant"], f"seed-{record['seed']}")
    results = folder.resolve().parents[len(inner.parts) - 1]
    return results / record["judge"]["folder"]


def check(folder):
    """Raises `UserError` for a folder without a trained model, or with too large a one."""
    if not runs.is_finished(folder):
        raise UserError(f"{folder} does not hold both {runs.WEIGHTS} and {runs.RECORD}")
    weights = folder / runs.WEIGHTS
    mib = weights.stat().st_size / 2**20
    if mib > MAX_MIB:
        raise UserError(f"{weights} has {mib:.1f} MiB; a repository should hold at most {MAX_MIB}: train a smaller one")


def main():
    args = parse_arguments()
    check(args.folder)
    sources = {args.target.name: args.folder}
    record = runs.read_json(args.folder / runs.RECORD)
    if "judge" in record:
        sources[f"{args.target.name}-judge"] = judge_folder(args.folder, record)
        check(sources[f"{args.target.name}-judge"])
    for name, folder in sources.items():
        for file, suffix in ((runs.WEIGHTS, ".keras"), (runs.RECORD, ".json")):
            copy = args.target.with_name(name + suffix)
            runs.write_atomic(copy, (folder / file).read_bytes())
            print(copy)


if __name__ == "__main__":
    run_main(main)
