"""What every training script does first: its options, the choice of models, and the start of TensorFlow."""

import argparse
from pathlib import Path

from experiments.harness.running import hardware, runs
from experiments.harness.running.errors import UserError

DATA_DIR = "folder of prepared TFDS datasets (default: TFDS_DATA_DIR, else ~/tensorflow_datasets)"


class EachOnce(argparse.Action):
    """A list in which nothing stands twice, in the order given."""

    def __call__(self, parser, args, values, option_string=None):
        setattr(args, self.dest, list(dict.fromkeys(values)))


def add_run_options(parser, presets, results, data_dir=DATA_DIR, strategy=True):
    """Adds the options of a script that trains models.

    Args:
        results: the default folder of all results.
        data_dir: help of `--data-dir`.
        strategy: whether several devices can share a batch.
    """
    add = parser.add_argument
    add("--data-dir", help=data_dir)
    add("--preset", default="auto", choices=["auto", *presets], help="budget (default: by hardware and data)")
    add("--precision", default="auto", choices=hardware.PRECISIONS, help="default: mixed where the hardware has it")
    if strategy:
        add("--strategy", default="none", choices=hardware.STRATEGIES,
            help="mirrored: share each batch out over all devices of this machine")  # fmt: skip
    add("--results", default=str(results), type=Path, metavar="DIR", help="default: the project's results/")
    add("--force", action="store_true", help="train again what is already finished")
    add("--dry-run", action="store_true", help="print what would run and how much work it is")


def add_model_options(parser, models):
    """Adds `--model` and `--seed`; `models` says what there is to choose from."""
    help = f"what to train, or all (default: the first). {models}"
    parser.add_argument("--model", nargs="+", action=EachOnce, metavar="MODEL", help=help)
    parser.add_argument("--seed", nargs="+", type=runs.whole(0), action=EachOnce, metavar="SEED",
                        help="one model a seed (default: 0)")  # fmt: skip


def pick_models(requested, known, dataset):
    """The models asked for, or by default the first of those known for a dataset; raises `UserError` for others."""
    unknown = [name for name in requested or () if name not in (*known, "all")]
    if unknown:
        raise UserError(f"--model must be one of {', '.join(known)} or all for {dataset}. Received: {unknown[0]}")
    return list(known) if "all" in (requested or ()) else requested or list(known)[:1]


def start(choice, args):
    """Checks the results folder, says where the data comes from, starts TensorFlow and decides about the hardware.

    Returns the `hardware.Hardware`; None where there is nothing more to do: a dry run does not download data. Of the
    script's options it reads `results`, `dry_run`, `precision` and, where there is one, `strategy`.
    """
    if not args.dry_run:
        runs.check_writable(args.results)
    if choice.notice:
        print(choice.notice)
    if args.dry_run and choice.source == "download":
        print("How much work it is depends on the size of the data, which a dry run does not download.")
        return None
    print("Starting TensorFlow ...", flush=True)
    hardware.import_tensorflow()
    machine = hardware.decide(args.precision, getattr(args, "strategy", "none"))
    print(f"Hardware: {machine}")
    return machine
