"""Puts a trained model into a library, with its record: the weights that come with the repository.

    python experiments/maintenance/include_weights.py results/unet/oxford_iiit_pet/cpu/mp-tr-bce/seed-0 \
        tfseg/weights/pets
    python experiments/maintenance/include_weights.py results/cvae/mnist/cpu/standard/seed-0 tfcvae/weights/mnist

copies `model.keras` and `record.json` of a run to `tfseg/weights/pets.keras` and `pets.json`; of a conditional VAE also
its judges', to `tfcvae/weights/mnist-judge.keras`, `mnist-judge-plain.keras` and so on, and its feature network's, to
`mnist-features.keras`; of a translator its tokenizer, to `tfnmt/weights/tatoeba.tokenizer.json`. The SHA-256 of the
weights is added to their record, as `weights_sha256`, and checked whenever they are loaded.

`--float16` stores the weights in half the space, and so do without it files that would exceed 12 MiB. The record says
so as `weights_stored`; its scores are those of the float32 weights.
"""

import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.running import runs
from experiments.harness.running.errors import UserError, run_main
from experiments.harness.running.parser import Parser
from tfcvae import pretrained

TOKENIZER = "tokenizer.json"
WEIGHTS_IN_FILE = "model.weights.h5"  # of a `.keras` file
MAX_MIB = 12  # a repository keeps every version for good


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("folder", type=Path, help="a model's folder, which holds model.keras and record.json")
    parser.add_argument("target", type=Path, help="path of the copies, without their suffixes")
    parser.add_argument("--float16", action="store_true", help="store the weights in half the space")
    return parser.parse_args(argv)


def read_model(folder, name=None, float16=False):
    """The weights of a trained model, as bytes, and its record, ready to be included.

    `name` is the stem of their files, where it isn't a run's folder. `float16` stores the weights in half the space.
    Raises `UserError` where a file is missing, or the weights are too large even so.
    """
    paths = [folder / f"{name}{suffix}" for suffix in (".keras", ".json")] if name else None
    paths = paths or [folder / runs.WEIGHTS, folder / runs.RECORD]
    if not all(path.exists() for path in paths):
        raise UserError(f"{folder} does not hold both {paths[0].name} and {paths[1].name}")
    weights, record = paths[0].read_bytes(), runs.read_json(paths[1])
    if not isinstance(record, dict):
        raise UserError(f"{paths[1]} is no record of a trained model")
    weights, record = _stored(weights, record, paths[0], float16)
    return weights, record | {"weights_sha256": hashlib.sha256(weights).hexdigest()}


def _stored(weights, record, path, float16):
    """Weights and record as they are stored: in float16 where that is asked for, or where they would be too large."""
    mib = len(weights) / 2**20
    too_large = f"{path} has {mib:.1f} MiB; a repository should hold at most {MAX_MIB}: train a smaller one"
    if float16 or mib > MAX_MIB:
        try:
            weights, record = in_float16(weights), record | {"weights_stored": "float16"}
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} can't be stored in float16 ({error})" if float16 else too_large) from None
    if len(weights) > MAX_MIB * 2**20:
        raise UserError(too_large)
    return weights, record


def in_float16(model):
    """Stores the weights of a saved model in float16; takes and returns the content of a `.keras` file.

    The model itself stays as it is: Keras casts what it reads to the type of each variable. Raises `ValueError` for
    weights that float16 can't hold.
    """
    old, new = zipfile.ZipFile(io.BytesIO(model)), io.BytesIO()
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in old.infolist():
            content = old.read(entry)
            archive.writestr(entry, _halved(content) if entry.filename == WEIGHTS_IN_FILE else content)
    return new.getvalue()


def _halved(weights):
    file = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as old, h5py.File(file, "w") as new:
        new.attrs.update(old.attrs)
        old.visititems(lambda name, item: _copy(name, item, new))
    return file.getvalue()


def _copy(name, item, new):
    if isinstance(item, h5py.Group):
        new.require_group(name).attrs.update(item.attrs)
        return
    values = item[()]
    if item.dtype == np.float32:
        with np.errstate(over="ignore"):
            values = values.astype(np.float16)
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds numbers that float16 can't hold")
    new.create_dataset(name, data=values).attrs.update(item.attrs)


def networks_of(folder, record, name):
    """Where the judges and the feature network of a conditional VAE lie; `name` is that of the model's copies.

    Returns `{name of the copies: arguments of read_model}`, empty for a model of another kind. Raises `UserError` where
    the record does not say.
    """
    if "judge" not in record:
        return {}
    try:
        judge = record["judge"]
        found = {f"{name}-judge{'-plain' * key.startswith('plain')}": at for key, at in judge.get("judges", {}).items()}
        found = found or {f"{name}-judge": judge}
        found |= {f"{name}-features": record["features"]} if record.get("features") else {}
        inner = Path(*(record[key] for key in ("experiment", "dataset", "run", "variant")), f"seed-{record['seed']}")
        results = folder.resolve().parents[len(inner.parts) - 1]
        return {copies: _place(results, facts["folder"]) for copies, facts in found.items()}
    except (KeyError, IndexError, TypeError):
        problem = "does not say where the model's judge lies, or its feature network"
        raise UserError(f"{folder / runs.RECORD} {problem}") from None


def _place(results, where):
    """A folder of results; of weights that were included when they were used, that folder and their name."""
    name = where.removeprefix("included: ")
    return (pretrained.WEIGHTS, name) if name != where else (results / where,)


def check_target(target):
    """Raises `UserError` where copies can't be written beside each other under this name; creates the folder."""
    if not target.name or target.is_dir():
        raise UserError(f"{target} is a folder; add the name of the copies, such as {target / 'pets'}")
    if target.suffix in (".keras", ".json"):
        raise UserError(f"{target} names one of the copies; leave {target.suffix} out")
    runs.check_writable(target.parent, "TARGET")


def include(folder, target, float16=False):
    """Writes the copies and returns their paths; writes none where one can't be read or written."""
    models = {target.name: read_model(folder, float16=float16)}
    for name, place in networks_of(folder, models[target.name][1], target.name).items():
        models[name] = read_model(*place, float16=float16)
    files = {}
    for name, (weights, record) in models.items():
        files[f"{name}.keras"] = weights
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
