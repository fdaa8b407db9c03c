"""Trains a conditional VAE, scores it on the test split, and sends 25 test images in with a wrong label.

    python experiments/cvae.py --data mnist
    python experiments/cvae.py --data cifar10 --model control density
    python experiments/cvae.py --data photos/                     # your own, a folder a class
    python experiments/cvae.py --data mnist --wrong-labels-only   # that picture, from saved or included weights

After Kingma & Welling 2014 and Sohn et al. 2015; on CIFAR-10 with the features of Hou et al. 2017 and the adversary of
Bao et al. 2017. Classifiers of real images are trained first, or taken where they come along: two judges, which say
what an output shows, and the network whose features a loss may use. Time: an hour or two a model on 2 cores. Killed,
the same command goes on.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.cvaes import included, sources
from experiments.cvaes.recipes import MODELS, PRESETS, Recipe, make_recipe
from experiments.harness.running import runs
from experiments.harness.running.errors import UserError, run_main
from experiments.harness.running.parser import Parser
from experiments.harness.running.recipe import add_options, check_all, given, pick_preset, read_hparams
from experiments.harness.running.start import add_model_options, add_run_options, pick_models, start


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    add = parser.add_argument
    add(
        "--data",
        default="auto",
        metavar="DATA",
        help=f"auto (mnist where it can be had, else glyphs), any of {', '.join(MODELS)}, a folder that holds a "
        "folder a class, or a TFDS dataset with image and label (default: %(default)s)",
    )
    add(
        "--image-size",
        type=int,
        choices=sources.SIZES,
        help="side that your own images are resized to (default: 32; of a TFDS dataset its own, if 28 or 32)",
    )
    add_run_options(parser, PRESETS, ROOT / "results")
    add_model_options(parser, _models())
    add("--latent-dim", type=runs.whole(1), help="latent units; of a spatial latent, its channels")
    add_options(parser, Recipe)
    add("--hparams", type=Path, metavar="FILE",
        help="fields of the recipe as JSON, such as a search's best.json; the other options come first")  # fmt: skip
    add("--classifiers-only", choices=["judge", "features", "all"],
        help="train the judges, the feature network or both, and no model")  # fmt: skip
    add("--wrong-labels-only", action="store_true",
        help="make the wrong-label picture again, from saved weights or from those that come along")  # fmt: skip
    args = parser.parse_args(argv)
    if args.dry_run and args.wrong_labels_only:
        parser.error("--wrong-labels-only trains nothing that --dry-run could list; leave one of them out")
    if (args.force or args.classifiers_only) and args.wrong_labels_only:
        parser.error("--wrong-labels-only trains nothing; leave out --force and --classifiers-only, or this option")
    return args


def _models():
    return " ".join(f"{dataset}: {', '.join(models)}." for dataset, models in MODELS.items())


def overrides(args):
    """The fields of `Recipe` that the command line sets: its options, and what they leave of `--hparams`."""
    found = read_hparams(args.hparams, Recipe, {"latent_dim": int}) if args.hparams else {}
    if args.latent_dim:
        found.pop("latent_shape", None)
        found["latent_dim"] = args.latent_dim
    return found | given(args, Recipe)


def check_recipes(args, options, dataset, models, image_shape=None):
    """Refuses what no model can be built with; `options` is what `overrides` returned."""
    preset = pick_preset(args.preset, "CPU")
    check_all(lambda model: make_recipe(dataset, model, preset, options, image_shape), models, args.hparams)


def main():
    args = parse_arguments()
    choice, found = sources.choose(args)
    if choice.name not in MODELS:
        return train_on_own(args, choice, found)
    models = pick_models(args.model, MODELS[choice.name], choice.name)
    seeds, options = args.seed or [0], overrides(args)
    check_recipes(args, options, choice.name, models)
    again, record = args.wrong_labels_only, None
    request = included.Request(args.data, args.preset, models if args.model else None, args.seed, options)
    folder = args.results / "cvae" / choice.name
    absent = included.missing(folder, models, seeds) if again else []
    if absent:
        record = included.find(choice, request, folder, absent)
    machine = start(choice, args)
    if not machine:
        return 0
    from experiments.cvaes import run as cvae_run

    if not record:
        preset = pick_preset(args.preset, machine.device)
        run = cvae_run.Run(choice, preset, options, models, seeds, machine, args.results)
        if not again or not run.left():
            return act(run, args)
        record = included.find(choice, request, run.folder, run.left())
    return cvae_run.draw_included(choice, record, machine, args.results)


def act(run, args):
    """Does with a run what the options ask for; returns the exit code."""
    from experiments.maintenance.summary import publish

    if args.dry_run:
        return run.describe(args.classifiers_only, args.force)
    if args.wrong_labels_only:
        return run.draw_wrong_labels_again()
    if args.classifiers_only:
        status = run.train_classifiers(args.classifiers_only, args.force)
    else:
        status = run.run(force=args.force)
    publish(args.results)
    return status


def train_on_own(args, choice, found):
    """Trains on data of one's own, whose images decide which models fit; `found` is what `sources.choose` returned."""
    seeds, options = args.seed or [0], overrides(args)
    if found:
        models = _models_for(args, options, found.image_shape)
    machine = start(choice, args)
    if not machine:
        return 0
    from experiments.cvaes import run as cvae_run
    from experiments.cvaes.own_images import of_folder, of_tfds

    preset = pick_preset(args.preset, machine.device)
    if found:
        shape = found.image_shape
    else:
        what = sources.tfds_images(choice, args.image_size)
        shape = what[0]
        models = _models_for(args, options, shape)
    recipe = make_recipe(sources.family_of(shape), models[0], preset, options, shape)
    limits = recipe.train_limit, recipe.test_limit, options.get("flip", False)
    images = of_folder(choice, found, *limits) if found else of_tfds(choice, *what, *limits)
    print("Classes: " + ", ".join(f"{n} {name}" for n, name in enumerate(images.class_names)))
    run = cvae_run.Run(choice, preset, options, models, seeds, machine, args.results, images)
    if args.wrong_labels_only and run.left():
        raise UserError(f"{run.folder} lacks trained models; leave --wrong-labels-only out to train them")
    return act(run, args)


def _models_for(args, options, image_shape):
    family = sources.family_of(image_shape)
    models = pick_models(args.model, MODELS[family], family)
    check_recipes(args, options, family, models, image_shape)
    return models


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=True))
