"""What a search for a conditional VAE's hyperparameters tunes, and what its trials train."""

import functools

import keras_tuner

from experiments.cvaes.classifiers import FeatureNetworks
from experiments.cvaes.recipes import EVALUATION, PROBABILITIES, make_recipe
from experiments.cvaes.training import LabelledImages, build_model
from experiments.harness.running.experiment import Training
from experiments.searches.task import Task
from tfcvae.data import InputData
from tfcvae.likelihoods import build_likelihood
from tfcvae.priors import PRIORS


class CVAETask(Task):
    """Latent, label, prior, likelihood and training of a conditional VAE; the model's recipe is the rest.

    The score is the negative ELBO, in which the KL divergence has the weight 1 whatever it weighs in training.

    Args:
        choice, preset, machine: as of `Task`.
        model: a name in `cvaes.recipes.MODELS[choice.name]`.
        seed: of the weights, of the noise and of the data, the same in every trial.
        results: folder of all results, in which a feature network is trained where the recipe needs one.
    """

    name, monitor, mode, title = "cvae", "negative_elbo", "min", "val -ELBO"
    longest = {"smoke": 3, "cpu": 9, "gpu": 27}

    def __init__(self, choice, model, preset, seed, machine, results):
        self.results = results
        self.choice, self.variant, self.preset, self.seed, self.machine = choice, model, preset, seed, machine
        self.use = f"python experiments/cvae.py --data {choice.name} --preset {preset} --model {model}"
        self.recipe = recipe = make_recipe(choice.name, model, preset, {})
        self.data = LabelledImages(choice, preset, recipe.train_limit, recipe.test_limit)
        others = {*self.space().values, *EVALUATION, "latent_shape", "images", "epochs"}
        self.fixed = {"model": model, "latent_sides": recipe.latent_shape[:-1]}
        self.fixed |= {name: value for name, value in recipe.record().items() if name not in others}

    def _likelihoods(self):
        """Those to choose from; none where only one compares, or where all are the same, as on grey images."""
        return PROBABILITIES if self.recipe.likelihood in PROBABILITIES and self.data.image_shape[-1] > 1 else ()

    def space(self):
        space, latent, label = keras_tuner.HyperParameters(), self.recipe.latent_shape[-1], self.recipe.label_dim
        space.Choice("latent_dim", [latent // 4, latent // 2, latent, 2 * latent])
        space.Choice("label_dim", [label // 4, label // 2, label, 2 * label])
        space.Choice("prior", list(PRIORS))
        if self._likelihoods():
            space.Choice("likelihood", list(self._likelihoods()))
        space.Float("kl_weight", 0.25, 2.0, sampling="log")
        space.Float("learning_rate", 3e-4, 1e-2, sampling="log")
        return space

    def build(self, fields, epochs):
        recipe = make_recipe(self.choice.name, self.variant, self.preset, fields | {"epochs": epochs})
        steps = epochs * self._training_data.steps
        network = self._feature_network if recipe.uses_features else None
        model = build_model(recipe, self.data.image_shape, self.seed, steps, self.machine.xla, network)
        return Training(model, self._training_data, self._validation)

    @functools.cached_property
    def _training_data(self):
        """Shared by all trials, so that the images are decoded once."""
        return InputData(self.data.train, self.recipe.batch_size, self.seed, self.recipe.flip)

    @functools.cached_property
    def _validation(self):
        return self.data.validation_batches(build_likelihood(self.recipe.likelihood).binarises)

    @functools.cached_property
    def _feature_network(self):
        network, _ = FeatureNetworks(self.choice, self.preset, self.data, self.machine, self.results).frozen()
        return network
