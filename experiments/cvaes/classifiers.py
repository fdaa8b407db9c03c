"""The classifiers of a dataset, each trained once on its real images and kept with its record: two judges, which say
what an output shows, and the feature network, which a loss may use. None of them ever sees another.

Where weights that come with the repository fit data and recipe, they are taken instead of trained.
"""

import math
from dataclasses import asdict, dataclass, replace

import keras
import numpy as np

from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from experiments.harness.running.experiment import Experiment, Training
from experiments.harness.running.schedules import OneCycle
from tfcvae import pretrained
from tfcvae.data import TrainingData, evaluation_data
from tfcvae.features import build_feature_classifier, feature_network
from tfcvae.judge import build_judge, judge_features, predict_labels

FEATURE_IMAGES = 2000
"""Validation images over which the feature network's channels are scaled."""
LEAST_STEPS = 1000
"""Optimizer steps of a classifier at least, however few images there are."""


@dataclass(frozen=True)
class ClassifierRecipe:
    """How a classifier is trained.

    Attributes:
        network: a key of `tfcvae.judge.JUDGES`, or of `tfcvae.features.FEATURE_NETWORKS`.
        epochs, batch_size: of the training.
        learning_rate: peak of the one-cycle schedule, and `weight_decay` of AdamW.
        flip, crop, blur: see `tfcvae.data.TrainingData`. A judge of photos learns to read blurred ones too, since what
            a decoder makes of a photo is smooth, and a judge of sharp photos alone reads texture.
    """

    network: str = "small"
    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 2e-2
    flip: bool = False
    crop: int = 2
    blur: float = 0.0

    def record(self):
        """The recipe as a dictionary, `blur` only where there is any."""
        return {name: value for name, value in asdict(self).items() if name != "blur" or value}


GREY = ClassifierRecipe()
PHOTO = ClassifierRecipe(network="base", epochs=24, flip=True, crop=4, blur=0.25)

JUDGES = {
    "mnist": [(GREY, 0), (replace(GREY, network="plain-small"), 1)],
    "cifar10": [(PHOTO, 0), (replace(PHOTO, network="plain-base", epochs=16), 1)],
    "glyphs": [(replace(GREY, epochs=8), 0), (replace(GREY, network="plain-small", epochs=8), 1)],
    "glyphs-colour": [(replace(GREY, epochs=8), 0), (replace(GREY, network="plain-small", epochs=8), 1)],
}
FEATURES = {
    "mnist": [(replace(GREY, epochs=8), 2)],
    "cifar10": [(replace(PHOTO, epochs=20, blur=0.0), 2)],
    "glyphs": [(replace(GREY, epochs=8), 2)],
    "glyphs-colour": [(replace(GREY, epochs=8), 2)],
}
"""Recipes and seeds by dataset: of the judges, and of the feature network."""


class Classifiers(Experiment):
    """Trains those classifiers of a dataset that share a purpose, or finds them trained; arguments as of `Experiment`.

    `data` is a `cvaes.training.Images`. The preset `smoke` makes classifiers that are quickly trained and read poorly.
    """

    monitor, mode, title, waits = "accuracy", "max", "val accuracy", True
    recipes, kind, build_network = {}, "", None

    def __init__(self, choice, preset, data, machine, results):
        chosen = [self._fitted(recipe, preset, data, machine) for recipe, _ in self.recipes[data.family]]
        seeds = [seed for _, seed in self.recipes[data.family]]
        self.chosen = {recipe.network: recipe for recipe in chosen}
        configurations = {(r.network, seed): r.record() for r, seed in zip(chosen, seeds, strict=True)}
        epochs = {recipe.network: recipe.epochs for recipe in chosen}
        shared = {**machine.settings(), "data": data.record()}
        super().__init__(choice, preset, True, shared, configurations, epochs, data, machine, results)

    def _fitted(self, recipe, preset, data, machine):
        """A recipe of the preset's size that fits the data, whose batches the machine's devices can share: of few
        images the batches are small and the epochs many."""
        count = data.sizes["train"]
        if data.flip is not None:
            recipe = replace(recipe, flip=data.flip)
        if preset == "smoke":
            name = "plain-tiny" if recipe.network.startswith("plain") else "tiny"
            recipe = replace(recipe, network=name, epochs=3, batch_size=32)
        else:
            batch = min(recipe.batch_size, max(16, count // 20))
            least = math.ceil(LEAST_STEPS / max(1, count // batch))
            recipe = replace(recipe, batch_size=batch, epochs=max(recipe.epochs, least))
        batch = min(recipe.batch_size, count)
        shared = batch - batch % machine.replicas if machine.replicas > 1 else recipe.batch_size
        return replace(recipe, batch_size=max(shared, machine.replicas))

    def _included(self, model):
        """The name of the included weights of a classifier of this recipe, trained on these very images."""
        name = pretrained.classifier_name(self.choice.name, self.name, model[0])
        if name is None:
            return None
        record = pretrained.read_record(name)
        mine, theirs = ({"blur": 0.0} | config for config in (self.configurations[model], record["config"]))
        same = all(theirs.get(key) == mine[key] for key in mine if key != "batch_size") and record["seed"] == model[1]
        return name if same and record["data"]["fingerprint"] == self.data.fingerprint else None

    def announce(self, notices):
        """Finds the included weights, and says where the others go, if there are any."""
        left = super().left()
        self.included = {m: n for m in left if (n := self._included(m))} if self.preset != "smoke" else {}
        if len(self.included) < len(self.configurations):
            print(*notices, f"{self.kind}: {self.folder}", sep="\n", flush=True)

    def left(self, force=False):
        return [model for model in super().left(force) if model not in self.included]

    def build(self, variant, seed):
        recipe = self.chosen[variant]
        batches = TrainingData(self.data.train, recipe.batch_size, seed, recipe.flip, recipe.crop, recipe.blur)
        keras.utils.set_random_seed(seed)
        shape, classes = self.data.image_shape, len(self.data.class_names)
        model = self.build_network(shape, classes, recipe.network, self.machine.synchronized())
        rate = OneCycle(recipe.learning_rate, recipe.epochs * batches.steps)
        optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=self.machine.xla)
        return Training(model, batches, evaluation_data(*self.machine.shareable(self.data.validation, 250)))

    def score(self, model, variant, folder, label):
        right, scores = {}, {}
        for split in ("validation", "test"):
            images, labels = self.data.arrays(split)
            right[split] = predict_labels(model, images) == labels
            scores[f"{split}_accuracy"] = float(np.mean(right[split]))
        accuracy = float(np.mean(np.concatenate(list(right.values()))))
        what = f"{self.name} {variant} of {self.choice.name}"
        commonest = np.bincount(labels).max() / len(labels)
        print(
            f"{what}: reads {accuracy:.2%} of validation and test images rightly; {commonest:.2%} of the test images "
            "are of the commonest class",
            flush=True,
        )
        return {"accuracy": accuracy, **scores}

    def wrap_up(self):
        """Nothing: no picture compares classifiers."""

    def ready(self, force=False):
        """Trains what is still to do, with `force` all but what comes along; returns what `trained` returns."""
        if self.left(force) and self.run(force):
            raise UserError(f"A classifier of {self.choice.name} could not be trained.")
        return self.trained()

    def trained(self):
        """The trained classifiers, `{network: (model, facts)}`: with what a record says of each.

        Raises `UserError` where one is missing.
        """
        found = {}
        for model in self.configurations:
            folder = runs.seed_folder(self.folder, *model)
            if model in self.included:
                name = self.included[model]
                print(f"{self.kind} {model[0]}: taking the included weights, {pretrained.WEIGHTS / name}.keras")
                network, record = (
                    pretrained.load_network(name, keras.config.dtype_policy().name),
                    pretrained.read_record(name),
                )
                where = f"included: {name}"
            elif runs.is_finished(folder):
                network, record = keras.models.load_model(folder / runs.WEIGHTS), runs.read_json(folder / runs.RECORD)
                where = folder.relative_to(self.results).as_posix()
            else:
                raise UserError(f"{folder} holds no trained {self.name} network. Train a model first.")
            facts = {name: record[name] for name in ("accuracy", "validation_accuracy", "test_accuracy")}
            found[model[0]] = network, {**facts, "network": model[0], "seed": model[1], "folder": where}
        return found


class Judges(Classifiers):
    """The two judges of a dataset; see `Classifiers`."""

    name, kind, recipes, build_network = "judge", "Judge", JUDGES, staticmethod(build_judge)


class FeatureNetworks(Classifiers):
    """The feature network of a dataset; see `Classifiers`."""

    name, kind, recipes = "features", "Feature network", FEATURES
    build_network = staticmethod(build_feature_classifier)

    def frozen(self):
        """The feature network that a loss uses, and what a record says of it; trained where that is still to do."""
        ((classifier, facts),) = self.ready().values()
        images, _ = self.data.arrays("validation")
        return feature_network(classifier, images[:FEATURE_IMAGES]), facts


class Panel:
    """The judges that `Judges.trained` returned, at work.

    Attributes:
        readers: functions from images `(n, *image_shape)` in [0, 1] to the labels that a judge reads, by its network.
        facts: what records say of the judges, by network.
    """

    def __init__(self, found):
        self.networks = {name: network for name, (network, _) in found.items()}
        self.facts = {name: facts for name, (_, facts) in found.items()}
        self.readers = {name: self._reader(network) for name, network in self.networks.items()}

    @staticmethod
    def _reader(network):
        return lambda images: predict_labels(network, images)

    def embed(self, images):
        """Images in the features of the first judge."""
        return judge_features(next(iter(self.networks.values())), images)

    def record(self):
        """What a record says of the judges: the figures of the one that reads worst, and each one's own."""
        worst = min(self.facts.values(), key=lambda facts: facts["accuracy"])
        return {**worst, "judges": self.facts}
