"""The judge of a dataset: trained once on its real images, kept with its record, then loaded by every run."""

import time
from dataclasses import asdict, dataclass, replace

import keras
import numpy as np

from experiments.cvaes.training import CLASSES
from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from experiments.harness.running.experiment import Experiment, Training
from experiments.harness.running.schedules import OneCycle
from tfcvae.data import TrainingData, evaluation_data
from tfcvae.judge import build_judge, predict_labels

SEED = 0


@dataclass(frozen=True)
class JudgeRecipe:
    """How a judge is trained.

    Attributes:
        network: a key of `tfcvae.judge.JUDGES`.
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


RECIPES = {
    "mnist": JudgeRecipe(),
    "cifar10": JudgeRecipe(network="base", epochs=24, flip=True, crop=4, blur=0.25),
    "glyphs": JudgeRecipe(epochs=8),
    "glyphs-colour": JudgeRecipe(epochs=8),
}


def judge_training(recipe, data, machine, seed=SEED):
    """The `Training` of a judge.

    Args:
        recipe: a `JudgeRecipe`.
        data: a `LabelledImages`.
        machine: a `hardware.Hardware`.
        seed: of weights, order and augmentation.
    """
    batches = TrainingData(data.train, recipe.batch_size, seed, recipe.flip, recipe.crop, recipe.blur)
    keras.utils.set_random_seed(seed)
    model = build_judge(data.image_shape, CLASSES, recipe.network, machine.synchronized())
    rate = OneCycle(recipe.learning_rate, recipe.epochs * batches.steps)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=machine.xla)
    return Training(model, batches, evaluation_data(*machine.shareable(data.validation, 250)))


class Judge(Experiment):
    """Trains the judge of a dataset, or finds it trained.

    Args:
        choice: the dataset, a `datasets.Choice`.
        preset: the preset's name; `smoke` makes a judge that is quickly trained and reads poorly.
        data: its images, a `LabelledImages`.
        machine: a `hardware.Hardware`.
        results: folder of all results.
    """

    name, monitor, mode, title = "judge", "accuracy", "max", "val accuracy"

    def __init__(self, choice, preset, data, machine, results):
        self.recipe = RECIPES[choice.name]
        if preset == "smoke":
            self.recipe = replace(self.recipe, network="tiny", epochs=3, batch_size=32)
        batch = self.recipe.batch_size
        self.recipe = replace(self.recipe, batch_size=batch - batch % machine.replicas)  # no option sets it
        self.variant = self.recipe.network
        shared = {**machine.settings(), "data": data.record()}
        configurations, epochs = {(self.variant, SEED): self.recipe.record()}, {self.variant: self.recipe.epochs}
        super().__init__(choice, preset, True, shared, configurations, epochs, data, machine, results)

    def announce(self, notices):
        print(*notices, f"Judge: {self.folder}", sep="\n", flush=True)

    def build(self, variant, seed):
        return judge_training(self.recipe, self.data, self.machine, seed)

    def score(self, model, variant, folder, label):
        started, right, scores = time.perf_counter(), {}, {}
        for split in ("validation", "test"):
            images, labels = self.data.arrays(split)
            right[split] = predict_labels(model, images) == labels
            scores[f"{split}_accuracy"] = float(np.mean(right[split]))
        accuracy = float(np.mean(np.concatenate(list(right.values()))))
        print(f"judge of {self.choice.name}: reads {accuracy:.2%} of validation and test images rightly", flush=True)
        return {"accuracy": accuracy, **scores, "seconds": {"evaluation": time.perf_counter() - started}}

    def wrap_up(self):
        """Nothing: the runs that use the judge write the summary."""

    def ready(self):
        """Trains the judge where that is still to do; returns what `trained` returns."""
        if self.left() and self.run():
            raise UserError(f"The judge of {self.choice.name} could not be trained.")
        return self.trained()

    def trained(self):
        """The trained judge.

        Returns:
            `(read, facts)`: a function from images `(n, *image_shape)` in [0, 1] to the labels that the judge reads,
            and what a record says of it.

        Raises:
            UserError: where there is none.
        """
        folder = runs.seed_folder(self.folder, self.variant, SEED)
        if not runs.is_finished(folder):
            raise UserError(f"{folder} holds no trained judge. Train a model first.")
        model, record = keras.models.load_model(folder / runs.WEIGHTS), runs.read_json(folder / runs.RECORD)
        facts = {name: record[name] for name in ("accuracy", "validation_accuracy", "test_accuracy")}
        facts["folder"] = folder.relative_to(self.results).as_posix()
        return (lambda images: predict_labels(model, images)), facts
