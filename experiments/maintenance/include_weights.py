"""Puts a trained model into a library, with its record: the weights that come with the repository.

    python experiments/maintenance/include_weights.py results/unet/oxford_iiit_pet/cpu/mp-tr-bce/seed-0 \
        tfseg/weights/pets
    python experiments/maintenance/include_weights.py results/cvae/mnist/cpu/standard/seed-0 tfcvae/weights/mnist

copies `model.keras` and `record.json` of a run to `tfseg/weights/pets.keras` and `pets.json`; of a conditional VAE also
its judge's, to `tfcvae/weights/mnist-judge.keras` and `mnist-judge.json`; of a translator its tokenizer, to
`tfnmt/weights/tatoeba.tokenizer.json`. The SHA-256 of the weights is added to their
record, as `weights_sha256`, and checked whenever they are loaded. `--float16` stores the weights in half the space, and
the record says so as `weights_stored`; its scores are those of the float32 weights.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.running import runs  # noqa: E402
from experiments.harness.running.errors import UserError, run_main  # noqa: E402
from experiments.harness.running.parser import Parser  # noqa: E402
from experiments.maintenance.half_precision import in_float16  # noqa: E402

TOKENIZER = "tokenizer.json"
MAX_MIB = 12  # a repository keeps every version for good


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("folder", type=Path, help="a model's folder, which holds model.keras and record.json")
    parser.add_argument("target", type=Path, help="path of the copies, without their suffixes")
    parser.add_argument("--float16", action="store_true", help="store the weights in half the space")
    return parser.parse_args(argv)


def read_model(folder, float16=False):
    """The weights of a trained model, as bytes, and its record; raises `UserError` for none, or too large a one."""
    if not runs.is_finished(folder):
        raise UserError(f"{folder} does not hold both {runs.WEIGHTS} and {runs.RECORD}")
    weights, record = (folder / runs.WEIGHTS).read_bytes(), runs.read_json(folder / runs.RECORD)
    if float16:
        try:
            weights = in_float16(weights)
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{folder / runs.WEIGHTS} can't be stored in float16 ({error})") from None
    mib = len(weights) / 2**20
    if mib > MAX_MIB:
        problem = f"has {mib:.1f} MiB; a repository should hold at most {MAX_MIB}: train a smaller one"
        raise UserError(f"{folder / runs.WEIGHTS} {problem}")
    return weights, record | ({"weights_stored": "float16"} if float16 else {})


def judge_folder(folder, record):
    """Where the judge of a conditional VAE lies; `record` is the model's, which lies in `folder`."""
    try:
        inner = Path(*(record[name] for name in ("experiment", "dataset", "run", "variant")), f"seed-{record['seed']}")
        return folder.resolve().parents[len(inner.parts) - 1] / record["judge"]["folder"]
    except (KeyError, IndexError, TypeError):
        raise UserError(f"{folder / runs.RECORD} does not say where the model's judge lies") from None


def check_target(target):
    """Raises `UserError` where copies can't be written beside each other under this name; creates the folder."""
    if not target.name or target.is_dir():
        raise UserError(f"{target} is a folder; add the name of the copies, such as {target / 'pets'}")
    if target.suffix in (".keras", ".json"):
        raise UserError(f"{target} names one of the copies; leave {target.suffix} out")
    runs.check_writable(target.parent, "TARGET")


def include(folder, target, float16=False):
    """Writes the copies and returns their paths; writes none where one can't be read or written."""
    models = {target.name: read_model(folder, float16)}
    record = models[target.name][1]
    if "judge" in record:
        models[f"{target.name}-judge"] = read_model(judge_folder(folder, record), float16)
    files = {}
    for name, (weights, record) in models.items():
        files[f"{name}.keras"] = weights
        record["weights_sha256"] = hashlib.sha256(weights).hexdigest()
        files[f"{name}.json"] = json.dumps(record, indent=2) + "\n"
    if (folder / TOKENIZER).exists():
        files[f"{target.name}.{TOKENIZER}"] = (folder / TOKENIZER).read_bytes()
    check_target(target)
    for name, content in files.items():
        runs.write_atomic(target.with_name(name), content)
    return [target.with_name(name) for name in files]


def main():
    args = parse_arguments()
    print(*include(args.folder, args.target, args.float16), sep="\n")


if __name__ == "__main__":
    run_main(main)
