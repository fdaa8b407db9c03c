"""The conditional VAE: a `keras.Model` whose loss is the negative ELBO of log p(x|y).

References:
    - Kingma & Welling 2014, "Auto-Encoding Variational Bayes" (the evidence lower bound, ELBO).
    - Sohn et al. 2015, "Learning Structured Output Representation using Deep Conditional Generative Models".
    - Bowman et al. 2016, "Generating Sentences from a Continuous Space" (KL warm-up).
    - Higgins et al. 2017, "beta-VAE" (the KL weight).
"""

import contextlib

import keras
from keras import ops

from tfcvae.inference import Inference
from tfcvae.layers import LabelEmbedding, reparameterise
from tfcvae.likelihoods import build_likelihood
from tfcvae.networks import build_decoder, build_encoder
from tfcvae.priors import build_prior, free_bits, kl_divergence
from tfcvae.training import TrainingSteps


@keras.saving.register_keras_serializable("tfcvae")
class CVAE(TrainingSteps, Inference, keras.Model):
    """Conditional variational autoencoder: encoder q(z|x, y), prior p(z|y) or p(z), decoder p(x|z, y).

    Train it with `compile(optimizer)` and `fit(dataset)`, where a batch is `(images, labels)` on TensorFlow, and
    `((images, labels),)` on any backend. Both steps log, in nats an image: `loss` (the ELBO's part of what is
    minimised), `reconstruction` (-log p(x|z, y)), `kl` and `negative_elbo`, the sum of these two, which no weight,
    warm-up or free bits touch. The steps themselves, and what can be added to the ELBO so that the label counts, are in
    `tfcvae.training.TrainingSteps`; `encode`, `decode`, `reconstruct`, `sample`, `relabel` and `elbo` in
    `tfcvae.inference.Inference`.

    Args:
        image_shape: `(height, width, channels)`; height and width divisible by 4, by 8 for networks of four levels.
        num_classes: number of classes.
        latent_shape: number of latent units, or `(height / 4, width / 4, channels)` for a spatial latent.
        network: a key of `tfcvae.networks.NETWORKS`.
        label_dim: length of the label's embedding.
        likelihood: a key of `tfcvae.likelihoods.LIKELIHOODS`.
        prior: a key of `tfcvae.priors.PRIORS`: `"standard"` for N(0, I), `"class"` for a learned p(z|y).
        kl_weight: factor of the KL divergence in the loss; 1 is the ELBO.
        kl_warmup_steps: optimizer steps over which that factor rises from 0; 0 for none.
        free_bits: nats a latent unit that cost nothing; see `tfcvae.priors.free_bits`.
        conditioning: how labels enter encoder and decoder, one of `tfcvae.networks.CONDITIONINGS`.
        posterior: its covariance, one of `tfcvae.networks.POSTERIORS`; `"full"` is for a flat latent.
        seed: of the noise. The initial weights follow `keras.utils.set_random_seed`.
        dtype: precision policy; the global one by default. Likelihood, KL and latents are float32 under each.

    Raises:
        ValueError: for an unknown name, a shape that the networks cannot take, or a negative number.

    Example:

    >>> model = CVAE((28, 28, 1), 10, latent_shape=16, network="tiny")
    >>> model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    >>> model.sample([3, 1, 4]).shape
    (3, 28, 28, 1)
    """

    def __init__(
        self,
        image_shape,
        num_classes,
        latent_shape=32,
        network="small",
        label_dim=32,
        likelihood="bernoulli",
        prior="standard",
        kl_weight=1.0,
        kl_warmup_steps=0,
        free_bits=0.0,
        conditioning="modulation",
        posterior="diagonal",
        seed=0,
        **kwargs,
    ):
        super().__init__(**{"autocast": False, "name": "cvae", **kwargs})  # images stay float32: 256 levels need it
        _check_not_negative(kl_weight=kl_weight, kl_warmup_steps=kl_warmup_steps, free_bits=free_bits)
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.latent_shape = (latent_shape,) if isinstance(latent_shape, int) else tuple(latent_shape)
        self.network, self.label_dim = network, label_dim
        self.likelihood_name, self.prior_name = likelihood, prior
        self.kl_weight, self.kl_warmup_steps, self.free_bits, self.seed = kl_weight, kl_warmup_steps, free_bits, seed
        self.conditioning, self.posterior = conditioning, posterior

        with _global_policy(self.dtype_policy):
            self.likelihood = build_likelihood(likelihood)
            self.prior = build_prior(prior, self.latent_shape, label_dim)
            self.label_embedding = LabelEmbedding(num_classes, label_dim, name="label_embedding")
            self.label_embedding.build(None)
            sizes = (self.image_shape, self.latent_shape, label_dim)
            self.encoder = build_encoder(*sizes, network, conditioning, posterior)
            channels = self.likelihood.channels(self.image_shape)
            self.decoder = build_decoder(*sizes, channels, network, conditioning)
        self.noise_seeds = keras.random.SeedGenerator(seed)
        self.steps_done = self.add_weight(
            (), initializer="zeros", dtype="int", trainable=False, aggregation="only_first_replica", name="steps_done"
        )
        names = ("loss", "reconstruction", "kl", "negative_elbo")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def get_config(self):
        names = ("image_shape", "num_classes", "latent_shape", "network", "label_dim")
        names += ("kl_weight", "kl_warmup_steps", "free_bits", "conditioning", "posterior", "seed")
        config = {name: getattr(self, name) for name in names}
        config |= {"likelihood": self.likelihood_name, "prior": self.prior_name}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        config.pop("label_noise", None)  # of models saved before wrong labels became a matter of training alone
        return super().from_config(config)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["noise_seeds"] = self.noise_seeds.state  # or a loaded model would draw the same noise again

    def load_own_variables(self, store):
        self.noise_seeds.state.assign(store["noise_seeds"])
        super().load_own_variables({name: store[name] for name in set(store.keys()) - {"noise_seeds"}})

    def draw_noise(self, count):
        """All the randomness of a pass over `count` images, from the model's seed generator.

        Returns:
            Dictionary of float32 `latents` `(count, *latent_shape)` from N(0, I); where the likelihood binarises,
            `pixels` `(count, *image_shape)`, uniform in [0, 1).
        """
        noise = {"latents": keras.random.normal((count, *self.latent_shape), dtype="float32", seed=self.noise_seeds)}
        if self.likelihood.binarises:
            shape = (count, *self.image_shape)
            noise["pixels"] = keras.random.uniform(shape, dtype="float32", seed=self.noise_seeds)
        return noise

    def call(self, inputs):
        """A pass through encoder and decoder.

        Args:
            inputs: `(images, labels)` or `(images, labels, noise)`: float32 `(batch, *image_shape)` in [0, 1];
                integers `(batch,)` or one-hot vectors `(batch, num_classes)`; what `draw_noise` returns.

        Returns:
            Dictionary of float32 tensors: `images` as the likelihood prepared them, `mean` and `log_variance` of the
            posterior, with a full covariance its `lower` (see `tfcvae.networks.build_encoder`), `prior_mean` and
            `prior_log_variance`, `latents` drawn from the posterior, and `parameters` of the likelihood.
        """
        images, labels, *noise = inputs
        noise = noise[0] if noise else self.draw_noise(ops.shape(images)[0])
        images = self.likelihood.prepare(images, noise.get("pixels"))
        embedding = self.label_embedding(labels)
        mean, log_variance, *lower = self.encoder([images, embedding])
        prior_mean, prior_log_variance = self.prior(embedding)
        latents = reparameterise(mean, log_variance, noise["latents"], *lower)
        return {
            "images": images,
            "mean": mean,
            "log_variance": log_variance,
            **({"lower": lower[0]} if lower else {}),
            "prior_mean": prior_mean,
            "prior_log_variance": prior_log_variance,
            "latents": latents,
            "parameters": self.decoder([latents, embedding]),
        }

    def loss_terms(self, outputs):
        """The terms of the ELBO, in nats, unweighted.

        Args:
            outputs: what `call` returns; for a likelihood that compares images in features, with `feature_distance`,
                float32 `(batch,)`.

        Returns:
            `(reconstruction, kl)`: -log p(x|z, y), float32 `(batch,)`, and the KL divergence of each latent unit,
            float32 `(batch, *latent_shape)`.
        """
        distance = [outputs["feature_distance"]] if self.likelihood.uses_features else []
        reconstruction = -self.likelihood.log_prob(outputs["images"], outputs["parameters"], *distance)
        return reconstruction, self.kl_divergence(outputs)

    def kl_divergence(self, outputs):
        """KL divergence of the posterior from the prior, in nats a latent unit, from what `call` returns."""
        names = ("mean", "log_variance", "prior_mean", "prior_log_variance")
        return kl_divergence(*(outputs[name] for name in names), outputs.get("lower"))

    def weighted_kl(self, kl):
        """What the KL divergence of a batch, nats a latent unit, costs in training: weight, warm-up and free bits."""
        means = _over_replicas(ops.mean(kl, axis=0)) if self.free_bits else None
        return self.current_kl_weight() * free_bits(kl, self.free_bits, means)

    def current_kl_weight(self):
        """`kl_weight` times the share of the warm-up that is done, float32 scalar."""
        if not self.kl_warmup_steps:
            return ops.cast(self.kl_weight, "float32")
        return self.kl_weight * ops.minimum(ops.cast(self.steps_done, "float32") / self.kl_warmup_steps, 1.0)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of a batch, in nats an image: a float32 scalar. Also updates the metrics and counts the step.

        Args:
            y_pred: what `call` returns; the other arguments are not used.
            training: whether this is a training step, which moves the KL warm-up on.
        """
        reconstruction, kl = self.loss_terms(y_pred)
        loss = ops.mean(reconstruction) + self.weighted_kl(kl)
        kl = ops.sum(kl, axis=tuple(range(1, len(kl.shape))))
        self.trackers["loss"].update_state(loss, sample_weight=ops.shape(kl)[0])
        self.trackers["reconstruction"].update_state(reconstruction)
        self.trackers["kl"].update_state(kl)
        self.trackers["negative_elbo"].update_state(reconstruction + kl)
        if training:
            self.steps_done.assign_add(1)
        return loss


def _check_not_negative(**numbers):
    for name, value in numbers.items():
        if value < 0:
            raise ValueError(f"{name} must be at least 0. Received: {name}={value!r}")


def _over_replicas(means):
    """Means over the whole batch from those of a replica's share of it, under `tf.distribute`; no gradient passes."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if replica and replica.num_replicas_in_sync > 1:
            return replica.all_reduce(tf.distribute.ReduceOp.MEAN, tf.stop_gradient(means))
    return means


@contextlib.contextmanager
def _global_policy(policy):
    """Builds layers under a model's precision policy rather than the global one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
