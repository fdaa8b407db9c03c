"""Trains a transformer from English to French, and scores it on sentences that it has never seen.

    python experiments/nmt.py --data multi30k --data-dir DIR
    python experiments/nmt.py --data tatoeba --data-dir DIR --model small
    python experiments/nmt.py --data numbers      # built in: numbers, dates, prices and times in words

After Vaswani et al. 2017. DIR holds parallel text: for --data NAME a folder NAME with train.en, val.en, test.en and the
same in .fr (test_2016_flickr for test, as Multi30k has it), or NAME.tsv (English, tab, French; .gz too), or NAME.en and
NAME.fr. `numbers` takes minutes on 2 cores, Multi30k hours where they have no bfloat16; on a GPU, train with
KERAS_BACKEND=jax. Killed, the same command goes on.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.running.errors import run_main
from experiments.harness.running.parser import Parser
from experiments.harness.running.recipe import add_options, check_all, given, pick_preset
from experiments.harness.running.start import add_model_options, add_run_options, pick_models, start
from experiments.nmts import sources
from experiments.nmts.recipes import PRESETS, Recipe, make_recipe, models_of


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--data", default="auto", metavar="NAME",
        help=f"auto, {', '.join(sources.KNOWN)}, numbers, or files of your own (default: the first found)")  # fmt: skip
    add_run_options(parser, PRESETS, ROOT / "results", f"folder of parallel text (default: {sources.FOLDER}, else "
                    "~/translation_data)", strategy=False)  # fmt: skip
    add_model_options(parser, "assignment, small or tiny")
    add_options(parser, Recipe)
    return parser.parse_args(argv)


def main():
    args = parse_arguments()
    choice = sources.choose(args.data, args.data_dir)
    models, options = pick_models(args.model, models_of(choice.name), choice.name), given(args, Recipe)
    preset = pick_preset(args.preset, "CPU")
    check_all(lambda model: make_recipe(choice.name, model, preset, options), models)
    machine = start(choice, args)
    if not machine:
        return 0
    from experiments.maintenance.summary import publish
    from experiments.nmts.run import Run

    preset = pick_preset(args.preset, machine.device)
    run = Run(choice, preset, options, models, args.seed or [0], machine, args.results)
    if args.dry_run:
        return run.describe(args.force)
    status = run.run(force=args.force)
    publish(args.results)
    return status


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=True))
