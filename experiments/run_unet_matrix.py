"""Trains the four U-Nets (and on request the article's own), scores them on the test split, and compares them.

    python experiments/run_unet_matrix.py                         # real data where it can be had, else shapes
    python experiments/run_unet_matrix.py --variants all --seeds 0 1
    python experiments/run_unet_matrix.py --preset smoke --data shapes

After Ronneberger et al. 2015 and the Medium article "U-Net implementation from scratch using TensorFlow"; data: Parkhi
et al. 2012. Time: about ten minutes a variant on 2 cores. Killed, the same command goes on where it was.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness import datasets, hardware, runs  # noqa: E402
from experiments.harness.errors import UserError, run_main  # noqa: E402
from experiments.unet_recipes import MATRIX, PRESETS, TUTORIAL, VARIANTS, make_recipe, pick_preset  # noqa: E402


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--data", default="auto", choices=["auto", "oxford_iiit_pet", "shapes"], help="dataset (default: %(default)s)")
    add("--data-dir", help="folder of prepared TFDS datasets (default: TFDS_DATA_DIR, else ~/tensorflow_datasets)")
    add("--preset", default="auto", choices=["auto", *PRESETS], help="budget (default: by hardware and data)")
    add("--variants", nargs="+", default=list(MATRIX), choices=[*VARIANTS, "all"], metavar="VARIANT",
        help=f"any of {', '.join(VARIANTS)}, or all (default: the first four)")  # fmt: skip
    add("--seeds", nargs="+", type=runs.whole(0), default=[0], metavar="SEED", help="default: 0")
    add("--epochs", type=runs.whole(1), help="instead of the preset's budget of images")
    add("--image-size", type=runs.whole(1), help="side of the model's input in pixels")
    add("--filters", type=runs.whole(1), help="channels of the first level")
    add("--batch-size", type=runs.whole(1))
    add("--target", choices=["foreground", "pet", "trimap"], help="what to segment (default: foreground)")
    add("--precision", default="auto", choices=hardware.PRECISIONS)
    add("--results", default=str(ROOT / "results"), type=Path, metavar="DIR", help="default: the project's results/")
    add("--force", action="store_true", help="train again what is already finished")
    add("--dry-run", action="store_true", help="print what would run and how much work it is")
    args = parser.parse_args(argv)
    args.variants = list(VARIANTS) if "all" in args.variants else list(dict.fromkeys(args.variants))
    args.seeds = list(dict.fromkeys(args.seeds))
    return args


def overrides(args):
    """The fields of `Recipe` that the command line sets."""
    names = ("epochs", "image_size", "filters", "batch_size", "target")
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def check_size(args):
    """Refuses an image size that some recipe's depth doesn't divide, before anything slow happens."""
    presets = PRESETS if args.preset == "auto" else [args.preset]
    for preset in presets:
        for variant in args.variants:
            recipe = make_recipe(preset, variant, overrides(args))
            if recipe.image_size % 2**recipe.depth:
                raise UserError(
                    f"--image-size must be divisible by {2**recipe.depth}, since the U-Net halves it {recipe.depth} "
                    f"times. Received: {recipe.image_size}"
                )


def main():
    args = parse_arguments()
    check_size(args)
    choice = datasets.choose(args.data, "oxford_iiit_pet", "shapes", args.data_dir)
    if not args.dry_run:
        runs.check_writable(args.results)
    if choice.notice:
        print(choice.notice)
    if args.dry_run and choice.source == "download":
        print("How much work it is depends on the size of the data, which a dry run does not download.")
        return 0
    print("Starting TensorFlow ...", flush=True)
    hardware.import_tensorflow()
    from experiments import unet_matrix

    machine = hardware.decide(args.precision)
    print(f"Hardware: {machine}")
    preset = pick_preset(args.preset, machine.device, choice.name)
    if TUTORIAL in args.variants and overrides(args).keys() - {"image_size"}:
        print(f"{TUTORIAL} keeps the article's own recipe: of these options it takes --image-size alone.")
    matrix = unet_matrix.Matrix(choice, preset, overrides(args), args.variants, args.seeds, machine, args.results)
    return matrix.describe() if args.dry_run else matrix.run(force=args.force)


if __name__ == "__main__":
    sys.exit(run_main(main))
