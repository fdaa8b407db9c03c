"""Trains, scores, records and pictures conditional VAEs; the work behind `cvae.py`."""

from dataclasses import replace

import keras

from experiments.cvaes import included
from experiments.cvaes import scores as cvae_scores
from experiments.cvaes.classifiers import FeatureNetworks, Judges, Panel
from experiments.cvaes.figures import draw_pictures
from experiments.cvaes.pictures import draw_all, draw_wrong_labels
from experiments.cvaes.recipes import MODELS, make_recipe
from experiments.cvaes.training import LabelledImages, build_model
from experiments.harness.data import datasets
from experiments.harness.reporting import report
from experiments.harness.reporting.sections import run_title
from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from experiments.harness.running.experiment import Experiment, Training
from tfcvae.data import InputData
from tfcvae.pretrained import load_judges, load_model


class Run(Experiment):
    """All conditional VAEs of one command.

    Args:
        choice, preset, machine, results: as of `Experiment`.
        overrides: what `cvaes.recipes.make_recipe` takes.
        models, seeds: what to train; names of `cvaes.recipes.MODELS`.
        own: the images, where they are one's own, an `OwnImages`; see `cvaes.own_images`.
    """

    name, monitor, mode, title = "cvae", "negative_elbo", "min", "val -ELBO"

    def __init__(self, choice, preset, overrides, models, seeds, machine, results, own=None):
        data = own or _known_data(choice, preset, overrides, models[0])
        fields = overrides if data.flip is None else overrides | {"flip": data.flip}
        shape = own.image_shape if own else None
        recipes = {model: make_recipe(data.family, model, preset, fields, shape) for model in models}
        wrong = len(data.class_names) - 1
        self.recipes = {model: replace(r, wrong_labels=min(r.wrong_labels, wrong)) for model, r in recipes.items()}
        shared = {"options": overrides, **machine.settings(), "data": data.record()}
        configurations = {(model, seed): self.recipes[model].record() for seed in seeds for model in models}
        epochs = {model: recipe.epochs_for(data.sizes["train"]) for model, recipe in self.recipes.items()}
        super().__init__(choice, preset, not overrides, shared, configurations, epochs, data, machine, results)
        self.judges = Judges(choice, preset, data, machine, results)
        uses_features = any(recipe.uses_features for recipe in self.recipes.values())
        self.features = FeatureNetworks(choice, preset, data, machine, results) if uses_features else None

    def describe(self, classifiers_only=None, force=False):
        """Prints what would run and how much work it is; the arguments are those of the options."""
        for classifiers in self._classifiers(classifiers_only or "all"):
            for network, seed in classifiers.left(force and classifiers_only):
                epochs, images = classifiers.epochs[network], classifiers.work(network)
                print(f"{classifiers.name} {network} seed {seed}: {epochs} epochs, {images:,} images")
        if classifiers_only:
            print("Nothing was written.")
        else:
            super().describe(force)

    def _classifiers(self, which):
        """Those that `--classifiers-only` names: `"judge"`, `"features"` or `"all"` that the models need."""
        if which == "features" and not self.features:
            names = ", ".join(self.recipes)
            raise UserError(f"--classifiers-only features: no feature network is used by {names}; use judge")
        return [c for c in (self.judges, self.features) if c and which in (c.name, "all")]

    def told(self, variant):
        recipe, classes = self.recipes[variant], len(self.data.class_names)
        parameters = build_model(recipe, self.data.image_shape, 0, 1, classes=classes).count_params()
        return (
            f"latent {'x'.join(map(str, recipe.latent_shape))}, {recipe.prior} prior, "
            f"KL weight {recipe.kl_weight:g}, {recipe.likelihood}, {parameters:,} parameters"
        )

    def train_classifiers(self, which, force=False):
        """Trains `"judge"`, `"features"` or `"all"`, where that is still to do, and no model; returns the exit code."""
        for classifiers in self._classifiers(which):
            classifiers.ready(force)
        return 0

    def run(self, force=False):
        if self.left(force):
            self.panel = Panel(self.judges.ready())
            self.feature_network, self.feature_facts = self.features.frozen() if self.features else (None, None)
        return super().run(force)

    def build(self, variant, seed):
        recipe = self.recipes[variant]
        data = InputData(self.data.train, recipe.batch_size, seed, recipe.flip)
        steps = self.epochs[variant] * data.steps
        network = self.feature_network if recipe.uses_features else None
        classes = len(self.data.class_names)
        model = build_model(recipe, self.data.image_shape, seed, steps, self.machine.xla, network, classes)
        return Training(model, data, self.data.validation_batches(model.likelihood.binarises, machine=self.machine))

    def score(self, model, variant, folder, label):
        scores = cvae_scores.score(model, self.data, self.recipes[variant], self.panel)
        scores |= {"judge": self.panel.record(), "class_names": self.data.class_names}
        scores |= {"features": self.feature_facts} if self.recipes[variant].uses_features else {}
        draw_all(model, self.data, self.panel.readers, scores, folder, self.picture_title(label))
        print(f"{label}: {cvae_scores.one_line(scores['test'], scores['judge']['accuracy'])}", flush=True)
        return scores

    def wrap_up(self):
        """Draws what compares models, publishes the pictures of the dataset's first model."""
        print("Drawing the pictures ...", flush=True)
        draw_pictures(self.records(), self.results)
        self._publish()
        print(f"Pictures: {self.folder}")

    def draw_wrong_labels_again(self):
        """Makes `wrong_labels.png` of each model again, from its weights; all of them have been trained."""
        panel = Panel(self.judges.trained())
        with runs.lock(self.folder):
            for variant, seed in self.configurations:
                folder = runs.seed_folder(self.folder, variant, seed)
                model, record = keras.models.load_model(folder / runs.WEIGHTS), runs.read_json(folder / runs.RECORD)
                title = self.picture_title(f"{variant} seed {seed}")
                draw_wrong_labels(model, self.data, panel.readers, record, folder, title)
                print(f"Picture: {folder / 'wrong_labels.png'}")
            self._publish()
        return 0

    def _publish(self):
        """Copies the pictures of the dataset's first model, as long trained as there is, to the dataset's folder."""
        name = next(iter(MODELS[self.data.family]))
        mine = (self.name, self.choice.name, name)
        known = [
            r
            for r in report.read_records(self.results)
            if (r["experiment"], r.get("dataset"), r.get("variant")) == mine
        ]
        if known:
            best = min(known, key=lambda r: (-r["images_seen"], r["seed"], r["folder"]))
            for picture in sorted((self.results / best["folder"]).glob("*.png")):
                runs.write_atomic(self.folder.parent / picture.name, picture.read_bytes())


def _known_data(choice, preset, overrides, model):
    recipe = make_recipe(choice.name, model, preset, overrides)
    return LabelledImages(choice, preset, recipe.train_limit, recipe.test_limit)


def draw_included(choice, record, machine, results):
    """Makes the `wrong_labels.png` of a dataset from its included weights, where `Run` publishes it, and nothing else.

    The weights, of which `record` is the record, predict in the precision of their training where that is this
    machine's too, which gives the very picture that the training drew, and else in float32.
    """
    trained, config = record["hardware"]["precision"], record["config"]
    precision = trained if machine.precision == trained else "float32"
    try:
        model, judges = load_model(choice.name, precision), load_judges(choice.name, precision)
    except ValueError as error:
        raise UserError(f"{error}.") from None
    folder = results / Run.name / choice.name
    title = run_title(choice.name, f"{record['variant']} seed {record['seed']}", record["run"])
    with datasets.naming_damage(choice):
        data = LabelledImages(choice, included.preset_of(record), config["train_limit"], config["test_limit"])
        print(f"{data}. Precision: {precision}.")
        if data.fingerprint["test"] != record["data"]["fingerprint"]["test"]:
            print("These are other test images, or in another order, than those of the figures below the picture.")
        panel = Panel({name: (judge, {}) for name, judge in judges.items()})
        draw_wrong_labels(model, data, panel.readers, record, folder, title)
    print(f"Picture: {folder / 'wrong_labels.png'}")
    return 0
