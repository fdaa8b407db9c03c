"""Searches for the hyperparameters of a U-Net: blocks, loss, filters, normalization, dropout, rate, augmentation.

    python experiments/tune_unet.py                                        # real data where it can be had, else shapes
    python experiments/tune_unet.py --tuner bayesian --trials 20 --max-epochs 12
    python experiments/tune_unet.py --preset smoke --data shapes           # to try it out

Hyperband after Li et al. 2018 through Keras Tuner; the score is the best validation IoU over a trial's epochs, and the
test split is never looked at. Killed, the same command goes on where it was.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.running.errors import run_main
from experiments.harness.running.parser import Parser
from experiments.harness.running.start import start
from experiments.searches.options import add_options, check_options
from experiments.unets import sources
from experiments.unets.recipes import PRESETS, pick_preset


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    sources.add_options(parser)
    add_options(parser, PRESETS, ROOT / "results")
    return parser.parse_args(argv)


def main():
    args = parse_arguments()
    role = check_options(args)
    choice, own = sources.choose(args)
    machine = start(choice, args)
    if not machine:
        return 0
    from experiments.maintenance.summary import publish
    from experiments.searches.study import Study
    from experiments.unets.tuning import UNetTask

    preset = pick_preset(args.preset, machine.device, choice.name)
    task = UNetTask(choice, preset, args.seed, machine, own)
    return Study(task, args, role).run(publish)


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=True))
