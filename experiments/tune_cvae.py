"""Searches for the hyperparameters of a conditional VAE: latent, label, prior, likelihood, KL weight, rate.

    python experiments/tune_cvae.py --data mnist
    python experiments/tune_cvae.py --data cifar10 --model density --tuner random --trials 8 --max-epochs 6
    python experiments/tune_cvae.py --preset smoke --data glyphs           # to try it out

Hyperband after Li et al. 2018 through Keras Tuner; the score is the best ELBO on validation images over a trial's
epochs, and the test split is never looked at. Killed, the same command goes on where it was.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.cvaes.recipes import MODELS, PRESETS
from experiments.harness.data import datasets
from experiments.harness.running.errors import UserError, run_main
from experiments.harness.running.parser import Parser
from experiments.harness.running.recipe import pick_preset
from experiments.harness.running.start import start
from experiments.searches.options import add_options, check_options


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--data", default="auto", choices=["auto", *MODELS], help="dataset (default: mnist where it can be had)")
    add("--model", help="whose recipe is tuned (default: the dataset's first)")
    add_options(parser, PRESETS, ROOT / "results")
    return parser.parse_args(argv)


def main():
    args = parse_arguments()
    role = check_options(args)
    choice = datasets.choose(
        args.data, "mnist", args.data if args.data.startswith("glyphs") else "glyphs", args.data_dir
    )
    model = args.model or next(iter(MODELS[choice.name]))
    if model not in MODELS[choice.name]:
        raise UserError(f"--model must be one of {', '.join(MODELS[choice.name])} for {choice.name}. Received: {model}")
    machine = start(choice, args)
    if not machine:
        return 0
    from experiments.cvaes.tuning import CVAETask
    from experiments.maintenance.summary import publish
    from experiments.searches.study import Study

    preset = pick_preset(args.preset, machine.device)
    task = CVAETask(choice, model, preset, args.seed, machine, args.results)
    return Study(task, args, role).run(publish)


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=True))
