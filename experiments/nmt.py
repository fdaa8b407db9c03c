"""Trains a transformer from English to French, and scores it on sentences that it has never seen.

    python experiments/nmt.py --data multi30k --data-dir DIR
    python experiments/nmt.py --data tatoeba --data-dir DIR --model small
    python experiments/nmt.py --data numbers      # built in: numbers, dates, prices and times in words

After Vaswani et al. 2017. DIR holds parallel text: multi30k/train.en, train.fr, val.*, test_2016_flickr.*, or NAME.tsv
(English, tab, French; .gz too), or NAME.en and NAME.fr for --data NAME. `numbers` takes minutes on 2 cores, Multi30k
hours; KERAS_BACKEND=jax is the fastest on a GPU. Killed, the same command goes on.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.running import hardware, runs  # noqa: E402
from experiments.harness.running.errors import UserError, run_main  # noqa: E402
from experiments.harness.running.parser import Parser  # noqa: E402
from experiments.harness.running.start import start  # noqa: E402
from experiments.nmts import sources  # noqa: E402
from experiments.nmts.recipes import NORMS, OPTIONS, PRESETS, make_recipe, models_of, pick_preset  # noqa: E402


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--data", default="auto", metavar="NAME",
        help=f"auto, {', '.join(sources.KNOWN)}, numbers, or files of your own (default: the first found)")  # fmt: skip
    add("--data-dir", help=f"folder of parallel text (default: {sources.FOLDER}, else ~/translation_data)")
    add("--preset", default="auto", choices=["auto", *PRESETS], help="budget (default: by hardware)")
    add("--model", nargs="+", metavar="MODEL", help="assignment, small or all (default: the dataset's first)")
    add("--seed", nargs="+", type=runs.whole(0), metavar="SEED", help="one model a seed (default: 0)")
    add("--epochs", type=runs.whole(1), help="instead of the model's own")
    add("--layers", type=runs.whole(1), metavar="N", help="encoder blocks, and decoder blocks")
    add("--width", type=runs.whole(2), metavar="D", help="d_model")
    add("--heads", type=runs.whole(1), help="of each attention; they divide d_model")
    add("--feed-forward", type=runs.whole(1), metavar="D", help="d_ff")
    add("--dropout", type=runs.number(0, 0.99), help="rate")
    add("--norm", choices=NORMS, help="layer normalization before each sublayer or after it")
    add("--label-smoothing", type=runs.number(0, 0.99), help="of the loss")
    add("--vocabulary", type=runs.whole(259), help="byte-pair tokens that both languages share")
    add("--longest", type=runs.whole(1), metavar="TOKENS", help="leave out longer training sentences")
    add(
        "--surplus",
        type=runs.whole(0),
        metavar="TOKENS",
        help="leave out training pairs whose French is longer by more",
    )
    add("--batch-tokens", type=runs.whole(64), help="padded tokens a step, of each side")
    add("--learning-rate", type=runs.number(0), help="peak of the one-cycle schedule")
    add("--ema", type=runs.number(0, 0.9999), metavar="MOMENTUM", help="of the averaged weights; 0 for none")
    add("--beam", type=runs.whole(1), help="width of the beam; 1 is greedy search")
    add("--penalty", type=runs.number(0), help="of length; 0 prefers short translations")
    add("--precision", default="auto", choices=hardware.PRECISIONS, help="default: mixed where the hardware has it")
    add("--results", default=str(ROOT / "results"), type=Path, metavar="DIR", help="default: the project's results/")
    add("--force", action="store_true", help="train again what is already finished")
    add("--dry-run", action="store_true", help="print what would run and how much work it is")
    args = parser.parse_args(argv)
    args.seed = args.seed and list(dict.fromkeys(args.seed))
    return args


def pick_models(requested, dataset):
    """The models asked for; by default the dataset's first."""
    known = list(models_of(dataset))
    if not requested:
        return known[:1]
    unknown = [name for name in requested if name not in (*known, "all")]
    if unknown:
        raise UserError(f"--model must be one of {', '.join(known)} or all for {dataset}. Received: {unknown[0]}")
    return known if "all" in requested else list(dict.fromkeys(requested))


def main():
    args = parse_arguments()
    choice = sources.choose(args.data, args.data_dir)
    models = pick_models(args.model, choice.name)
    options = {name: getattr(args, name) for name in OPTIONS if getattr(args, name, None) is not None}
    for model in models:
        try:
            make_recipe(choice.name, model, "cpu" if args.preset == "auto" else args.preset, options)
        except ValueError as error:
            raise UserError(f"{model}: {error}") from None
    machine = start(choice, args)
    if not machine:
        return 0
    from experiments.maintenance.summary import publish
    from experiments.nmts.run import Run

    run = Run(
        choice, pick_preset(args.preset, machine.device), options, models, args.seed or [0], machine, args.results
    )
    if args.dry_run:
        return run.describe()
    status = run.run(force=args.force)
    publish(args.results)
    return status


if __name__ == "__main__":
    sys.exit(run_main(main))
