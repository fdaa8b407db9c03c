"""What a trained conditional VAE does for its user: the methods of `CVAE` that take and return NumPy arrays.

Every method checks its arguments, works in batches, and draws the same noise whatever the batch size.

References:
    - Burda et al. 2016, "Importance Weighted Autoencoders".
"""

import numpy as np
from keras import ops, tree

from tfcvae.layers import check_labels, reparameterise
from tfcvae.prediction import predict
from tfcvae.priors import kl_divergence, log_normal


class Inference:
    """Methods of `tfcvae.model.CVAE`; a mix-in, to keep the model itself short.

    In all of them, `images` are `(n, *image_shape)` in [0, 1], treated as in training: where the likelihood binarises,
    grey pixels are drawn black or white (with the model's seed, unless there is a `seed` argument), and images that
    are binary already stay as they are. `labels` are integers `(n,)` or one-hot vectors `(n, num_classes)`. Latents
    are `(n, *latent_shape)`. Results are float32 NumPy arrays. `batch_size` bounds the memory. Wrong shapes, images
    outside [0, 1] and labels outside `[0, num_classes)` are a ValueError.
    """

    def encode(self, images, labels, batch_size=256):
        """Mean and log-variance of each latent unit under the posterior q(z|x, y), `(n, *latent_shape)` each."""
        rng = np.random.default_rng(self.seed)

        def run(embedding, images):
            mean, log_variance, *lower = predict(self.encoder, self._prepared(images, rng), embedding)
            if lower:
                log_variance = ops.log(ops.exp(log_variance) + ops.sum(ops.square(lower[0]), axis=-1))
            return mean, log_variance

        return self._in_batches(run, batch_size, labels, self._checked(images))

    def kl(self, images, labels, batch_size=256):
        """KL divergence of the posterior from the prior: what the latent says of an image, `(n,)`, nats."""
        rng = np.random.default_rng(self.seed)

        def run(embedding, images):
            return _kl(predict(self.encoder, self._prepared(images, rng), embedding), self.prior(embedding))

        return self._in_batches(run, batch_size, labels, self._checked(images))

    def decode(self, latents, labels, batch_size=256):
        """Mean images of p(x|z, y), `(n, *image_shape)` in [0, 1]."""

        def run(embedding, latents):
            return self.likelihood.mean(predict(self.decoder, latents, embedding))

        latents = np.asarray(latents, "float32")
        _check_shape("Latents", latents, self.latent_shape)
        return self._in_batches(run, batch_size, labels, latents)

    def reconstruct(self, images, labels, batch_size=256):
        """The images under their own labels, through posterior mean and decoder mean: `(n, *image_shape)`."""
        return self.relabel(images, labels, batch_size=batch_size)

    def relabel(self, images, labels, encode_labels=None, batch_size=256):
        """The images as the model shows them under other labels: posterior mean, then decoder mean.

        Args:
            labels: the labels asked for.
            encode_labels: what the encoder is told. By default `labels`: the image is sent in with a wrong label. With
                the images' true labels, the decoder alone is told the wrong one.

        Returns:
            `(n, *image_shape)` in [0, 1].
        """
        mean, _ = self.encode(images, labels if encode_labels is None else encode_labels, batch_size)
        return self.decode(mean, labels, batch_size)

    def latent_prior(self, labels, batch_size=256):
        """Mean and log-variance of the prior, p(z|y) or N(0, I): `(n, *latent_shape)` each."""
        return self._in_batches(self.prior, batch_size, labels)

    def sample(self, labels, temperature=1.0, seed=None, batch_size=256):
        """New images of given classes: latents from the prior, then the decoder's mean.

        Args:
            temperature: factor of the prior's standard deviation, at least 0.
            seed: int for the same images each time; None goes on with the model's seed generator.

        Returns:
            `(n, *image_shape)` in [0, 1].
        """
        if temperature < 0:
            raise ValueError(f"temperature must be at least 0. Received: temperature={temperature!r}")
        mean, log_variance = self.latent_prior(labels, batch_size)
        noise = self._rng(seed).standard_normal(mean.shape, "float32")
        return self.decode(mean + temperature * np.exp(log_variance / 2) * noise, labels, batch_size)

    def elbo(self, images, labels, samples=1, seed=None, batch_size=256):
        """The evidence lower bound of log p(x|y): KL weight 1, no warm-up, no free bits.

        Args:
            samples: latents drawn for each image; log p(x|z, y) is averaged, the KL divergence is in closed form.
            seed: int for the same noise each time; None goes on with the model's seed generator.

        Returns:
            `(n,)`, nats.
        """

        def bound(images, embedding, posterior, prior, draws):
            latents = (_draw(posterior, rng)[0] for rng in draws)
            log_likelihood = sum(self._log_likelihood(images, z, embedding) for z in latents) / samples
            return log_likelihood - _kl(posterior, prior)

        return self._bound(bound, images, labels, samples, seed, batch_size)

    def importance_bound(self, images, labels, samples=500, seed=None, batch_size=256):
        """The importance-weighted bound of log p(x|y), at least the ELBO in expectation (Burda et al. 2016).

        `log(mean over z of p(x|z, y) p(z|y) / q(z|x, y))` with z drawn from q; it reaches log p(x|y) as `samples`
        grows. Weights are summed as they come: memory does not grow with `samples`.

        Args and returns: as for `elbo`.
        """

        def bound(images, embedding, posterior, prior, draws):
            total = -np.inf
            for rng in draws:
                latents, log_density = _draw(posterior, rng)
                log_weight = self._log_likelihood(images, latents, embedding)
                log_weight += log_normal(latents, *prior) - log_density
                total = np.logaddexp(total, ops.convert_to_numpy(log_weight))
            return total - np.float32(np.log(samples))

        return self._bound(bound, images, labels, samples, seed, batch_size)

    def _bound(self, bound, images, labels, samples, seed, batch_size):
        """Calls `bound` on batches, with the parameters of q and p, and one generator a sample."""
        if samples < 1:
            raise ValueError(f"samples must be at least 1. Received: samples={samples!r}")
        pixels, *draws = self._rng(seed).spawn(1 + samples)

        def run(embedding, images):
            images = self._prepared(images, pixels)
            return bound(images, embedding, predict(self.encoder, images, embedding), self.prior(embedding), draws)

        return self._in_batches(run, batch_size, labels, self._checked(images))

    def _log_likelihood(self, images, latents, embedding):
        parameters = predict(self.decoder, latents, embedding)
        distance = [self.distance_in_features(images, parameters)] if self.likelihood.uses_features else []
        return self.likelihood.log_prob(images, parameters, *distance)

    def _prepared(self, images, rng):
        noise = rng.random(images.shape, "float32") if self.likelihood.binarises else None
        return self.likelihood.prepare(images, noise)

    def _rng(self, seed):
        """NumPy's generator for a seed, or for the next seed of the model's own generator."""
        return np.random.default_rng(ops.convert_to_numpy(self.noise_seeds.next()) if seed is None else seed)

    def _checked(self, images):
        images = np.asarray(images, "float32")
        _check_shape("Images", images, self.image_shape)
        if images.size and not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(f"Images must lie in [0, 1]. Received: values from {images.min()} to {images.max()}")
        return images

    def _in_batches(self, run, batch_size, labels, *arrays):
        """Calls `run` on the labels' embeddings and the arrays, batch by batch, and joins what it returns."""
        labels = check_labels(labels, self.num_classes)
        if not len(labels) or any(len(array) != len(labels) for array in arrays):
            counts = " and ".join(str(len(array)) for array in (*arrays, labels))
            raise ValueError(f"There must be as many labels as images or latents, at least one. Received: {counts}")
        parts = [slice(start, start + batch_size) for start in range(0, len(labels), batch_size)]
        results = [run(self.label_embedding(labels[part]), *(array[part] for array in arrays)) for part in parts]
        return tree.map_structure(lambda *batches: np.concatenate([ops.convert_to_numpy(b) for b in batches]), *results)


def _draw(posterior, rng):
    """Latents from what the encoder returns, and the logarithm of their density, `(batch,)`."""
    mean, log_variance, *lower = posterior
    noise = rng.standard_normal(mean.shape, "float32")
    # A Cholesky factor's determinant is that of its diagonal
    log_density = log_normal(noise, 0.0, 0.0) - 0.5 * _over_units(log_variance)
    return reparameterise(mean, log_variance, noise, *lower), log_density


def _kl(posterior, prior):
    mean, log_variance, *lower = posterior
    return _over_units(kl_divergence(mean, log_variance, *prior, *lower))


def _over_units(values):
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


def _check_shape(what, array, shape):
    if array.shape[1:] != shape:
        raise ValueError(f"{what} must have shape {('n', *shape)}. Received: shape={array.shape}".replace("'", ""))
