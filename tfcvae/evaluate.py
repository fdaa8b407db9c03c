"""Scores a trained conditional VAE: likelihood, reconstruction, latent units, and whether labels control its output.

Pure functions of a model and NumPy arrays. `images` are `(n, *image_shape)` in [0, 1], binarised once beforehand where
the likelihood binarises (`tfcvae.data.binarise`); `labels` are integers `(n,)` or one-hot vectors. `judges` are
functions, by name, from images `(n, *image_shape)` to the labels that they read, `(n,)`; they only measure. Of several
judges' figures the lowest counts, and all are given. Work proceeds in chunks, so memory is bounded by the chunk.

References:
    - Burda et al. 2016, "Importance Weighted Autoencoders" (importance-weighted bound, active units).
"""

import math

import numpy as np

from tfcvae.judge import frechet_distance
from tfcvae.layers import check_labels

CHUNK = 1000
"""Images in memory at a time, and inputs among which `relabel_scores` looks for the nearest one."""


def likelihood_scores(model, images, labels, samples=1, seed=0, batch_size=256):
    """Bounds of the log-likelihood, unweighted: KL weight 1, no free bits.

    Args:
        samples: latents drawn for each image.

    Returns:
        Dictionary of floats: `elbo`, the mean ELBO of log p(x|y) in nats; `negative_elbo`; `unconditional_nll`,
        `-elbo + ln(num_classes)`, a bound of -log p(x) under equally frequent classes, which compares with models that
        know no labels; `comparable`, whether papers' figures compare (see `tfcvae.likelihoods`).
    """
    elbo = float(np.mean(model.elbo(images, labels, samples, seed, batch_size), dtype="float64"))
    return {
        "elbo": elbo,
        "negative_elbo": -elbo,
        "unconditional_nll": -elbo + math.log(model.num_classes),
        "comparable": model.likelihood.comparable,
    }


def importance_weighted_nll(model, images, labels, samples=500, seed=0, batch_size=256):
    """Mean of the importance-weighted bound of -log p(x|y), in nats (Burda et al. 2016); see `importance_bound`."""
    bounds = model.importance_bound(images, labels, samples, seed, batch_size)
    return -float(np.mean(bounds, dtype="float64"))


def bits_per_dim(nats, image_shape):
    """Nats an image as bits a pixel and channel: `nats / (height * width * channels * ln 2)`."""
    return nats / (math.prod(image_shape) * math.log(2))


def reconstruction_error(model, images, labels, batch_size=256):
    """Mean squared error a pixel between images in [0, 1] and their reconstructions."""
    total = 0.0
    for chunk in _chunks(len(images)):
        difference = model.reconstruct(images[chunk], labels[chunk], batch_size) - images[chunk]
        total += float(np.sum(np.square(difference), dtype="float64"))
    return total / np.size(images)


def kl_divergence_of(model, images, labels, batch_size=256):
    """Mean KL divergence of the posterior from the prior, in nats an image: what the latent says of an image."""
    return float(np.mean(model.kl(images, labels, batch_size), dtype="float64"))


def relative_means(model, images, labels, batch_size=256):
    """Posterior means relative to the prior, in its standard deviations; under N(0, I), the means themselves.

    Returns:
        Float64 `(n, *latent_shape)`.
    """
    mean, _ = model.encode(images, labels, batch_size)
    prior_mean, prior_log_variance = model.latent_prior(labels, batch_size)
    return (mean.astype("float64") - prior_mean) * np.exp(-0.5 * prior_log_variance.astype("float64"))


def active_units(model, images, labels, threshold=0.01, batch_size=256):
    """Number of latent units that carry information on the image (Burda et al. 2016).

    A unit is active where the variance over images of its posterior mean exceeds `threshold`. Under a class-dependent
    prior means are taken relative to it, in its standard deviations: what the label alone says does not count.
    """
    count, total, squares = len(images), 0.0, 0.0
    for chunk in _chunks(count):
        mean = relative_means(model, images[chunk], labels[chunk], batch_size)
        total, squares = total + mean.sum(axis=0), squares + np.square(mean).sum(axis=0)
    return int(np.sum(squares / count - np.square(total / count) > threshold))


def sample_accuracy(model, judges, per_class=1000, temperature=1.0, seed=0, batch_size=256):
    """How often the judges read a sample as the class that was asked for.

    Returns:
        `{"accuracy": share in [0, 1], "per_class": list of shares, "judges": {name: share}}`; the first two are those
        of the judge with the lowest share.
    """
    shares = {name: [] for name in judges}
    for label in range(model.num_classes):
        samples = model.sample(np.full(per_class, label), temperature, [seed, label], batch_size)
        for name, judge in judges.items():
            shares[name].append(float(np.mean(judge(samples) == label)))
    means = {name: float(np.mean(values)) for name, values in shares.items()}
    lowest = min(means, key=means.get)
    return {"accuracy": means[lowest], "per_class": shares[lowest], "judges": means}


def relabel_scores(model, images, labels, judges, wrong=None, seed=0, batch_size=256):
    """Sends every image in with wrong labels and measures what comes out.

    The output is the decoder's mean at the posterior's mean, in these readings:

    - `"a"`: encoder and decoder get the wrong label: what sending an image with a wrong label means;
    - `"b"`: the encoder gets the true label, the decoder the wrong one;
    - `"prior_shift"`, for a class-dependent prior only: as (b), with the latent moved to the wrong label's prior.

    Args:
        judges: functions, by name, from images to the labels that they read.
        wrong: wrong labels an image, drawn at random; all by default.
        seed: of that draw.

    Returns:
        Dictionary of `images`, `wrong_labels` (an image), `judge_accuracy` on the inputs, `reconstruction_accuracy`
        (the judges' on plain reconstructions, r), `ignored_label_accuracy` ((1 - r) / (num_classes - 1): the accuracy
        of a model that ignores its label), and `readings`, by name: `accuracy`, the share read as the label asked for;
        `still_true`, the share read as the image's true class; `retention`, the share of outputs whose nearest input
        by mean squared error, among `gallery` (1,000, or fewer where there are fewer), is their own; `per_class`,
        accuracy by label asked for; `pairs`, accuracy by true class and label asked for (None where there is none);
        `judges`, each one's accuracy; `agreed`, the share that all of them read as the label asked for. Where judges
        differ, the other figures are those of the judge with the lowest accuracy, on inputs and reconstructions of the
        lowest in reading (a). All shares lie in [0, 1].
    """
    labels = _integers(labels, model.num_classes)
    wrong = wrong_labels(labels, model.num_classes, wrong, seed)
    names = ["a", "b"] + ["prior_shift"] * (model.prior_name == "class")
    tallies = {name: Tally(model.num_classes, judges) for name in names}
    seen, reconstructed = dict.fromkeys(judges, 0), dict.fromkeys(judges, 0)
    for chunk in _chunks(len(images)):
        inputs, true = images[chunk], labels[chunk]
        gallery = images[max(0, chunk.stop - CHUNK) : chunk.stop]
        means, _ = model.encode(inputs, true, batch_size)
        plain = model.decode(means, true, batch_size)
        for name, judge in judges.items():
            seen[name] += np.sum(judge(inputs) == true)
            reconstructed[name] += np.sum(judge(plain) == true)
        for asked in wrong[chunk].T:
            for name, tally in tallies.items():
                outputs = _relabelled(model, name, inputs, means, true, asked, batch_size)
                read = {judge: function(outputs) for judge, function in judges.items()}
                tally.add(true, asked, read, is_nearest_to_own(outputs, gallery))
    lowest = tallies["a"].lowest()
    r = float(reconstructed[lowest] / len(images))
    return {
        "images": len(images),
        "wrong_labels": wrong.shape[1],
        "gallery": min(len(images), CHUNK),
        "judge_accuracy": float(seen[lowest] / len(images)),
        "reconstruction_accuracy": r,
        "ignored_label_accuracy": (1 - r) / (model.num_classes - 1),
        "readings": {name: tally.result() for name, tally in tallies.items()},
    }


def _relabelled(model, reading, images, means, true, asked, batch_size):
    if reading == "a":
        return model.relabel(images, asked, batch_size=batch_size)
    if reading == "prior_shift":
        means = shift_latents(means, model.latent_prior(true, batch_size), model.latent_prior(asked, batch_size))
    return model.decode(means, asked, batch_size)


def shift_latents(latents, old_prior, new_prior):
    """Moves latents from one normal prior to another, keeping their distance from its mean in standard deviations.

    Args:
        latents: `(n, *latent_shape)`.
        old_prior, new_prior: `(mean, log_variance)`, `(n, *latent_shape)` each.
    """
    (old_mean, old_log_variance), (new_mean, new_log_variance) = old_prior, new_prior
    return new_mean + (latents - old_mean) * np.exp((new_log_variance - old_log_variance) / 2)


def wrong_labels(labels, num_classes, count=None, seed=0):
    """Different wrong labels for each image, in random order.

    Args:
        labels: the true ones, integers `(n,)`.
        count: how many, from 1 to `num_classes - 1`; that many by default.

    Returns:
        Int64 `(n, count)`.

    Raises:
        ValueError: for another count.
    """
    count = num_classes - 1 if count is None else count
    if not 1 <= count <= num_classes - 1:
        raise ValueError(f"There are 1 to {num_classes - 1} wrong labels an image. Received: {count!r}")
    offsets = np.tile(np.arange(1, num_classes), (len(labels), 1))
    offsets = np.random.default_rng(seed).permuted(offsets, axis=1)[:, :count]
    return (np.asarray(labels)[:, None] + offsets) % num_classes


def is_nearest_to_own(outputs, gallery):
    """Whether the nearest image of a gallery, by mean squared error, is an output's own input.

    Args:
        outputs: `(n, ...)`.
        gallery: `(m, ...)`, m at least n; its last n images are the outputs' own inputs, in order.

    Returns:
        Bool `(n,)`.
    """
    flat, gallery = outputs.reshape(len(outputs), -1), gallery.reshape(len(gallery), -1)
    distances = np.square(gallery).sum(axis=1) - 2 * flat @ gallery.T  # less |output|^2, which moves no minimum
    return distances.argmin(axis=1) == np.arange(len(gallery) - len(outputs), len(gallery))


class Tally:
    """Counts of what judges read relabelled images as.

    Attributes:
        totals: images by true class and label asked for.
        obeyed: by judge, those of them that it read as the label asked for.
        still_true: by judge, how many it read as their true class.
    """

    def __init__(self, num_classes, judges):
        self.totals = np.zeros((num_classes, num_classes), "int64")
        self.obeyed = {judge: np.zeros_like(self.totals) for judge in judges}
        self.still_true = dict.fromkeys(judges, 0)
        self.retained, self.agreed = 0, 0

    def add(self, true, asked, read, retained):
        """Counts images by their true labels, the labels asked for, and what each judge read, a dictionary."""
        np.add.at(self.totals, (true, asked), 1)
        for judge, labels in read.items():
            np.add.at(self.obeyed[judge], (true, asked), labels == asked)
            self.still_true[judge] += int(np.sum(labels == true))
        self.retained += int(np.sum(retained))
        self.agreed += int(np.sum(np.all([labels == asked for labels in read.values()], axis=0)))

    def accuracies(self):
        """The share that each judge read as the label asked for."""
        return {judge: float(counts.sum() / self.totals.sum()) for judge, counts in self.obeyed.items()}

    def lowest(self):
        """The judge with the lowest accuracy."""
        accuracies = self.accuracies()
        return min(accuracies, key=accuracies.get)

    def result(self):
        """The entries of one reading of `relabel_scores`."""
        accuracies, lowest, count = self.accuracies(), self.lowest(), int(self.totals.sum())
        obeyed = self.obeyed[lowest]
        return {
            "accuracy": accuracies[lowest],
            "still_true": self.still_true[lowest] / count,
            "retention": self.retained / count,
            "per_class": _shares(obeyed.sum(axis=0), self.totals.sum(axis=0)),
            "pairs": [_shares(*row) for row in zip(obeyed, self.totals, strict=True)],
            "judges": accuracies,
            "agreed": self.agreed / count,
        }


def _shares(counts, totals):
    return [float(c / t) if t else None for c, t in zip(counts, totals, strict=True)]


def _integers(labels, num_classes):
    labels = check_labels(labels, num_classes)
    return labels.argmax(axis=1) if labels.ndim == 2 else labels.astype("int64")


def _chunks(count):
    return [slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def realism(outputs, asked, real, real_labels, embed, others, other_labels):
    """How far images of a class are from real ones, by the Frechet distance in a judge's features.

    Both figures are means over classes, from equally many images of each set in each class, since the distance depends
    on how many there are.

    Args:
        outputs, asked: images and the labels that they were asked to show.
        real, real_labels: real images, such as the test split.
        embed: function from images to features `(n, channels)`; see `tfcvae.judge.judge_features`.
        others, other_labels: more real images, such as the validation split.

    Returns:
        `{"frechet_distance": of outputs to real images of the class asked for, "frechet_distance_of_real_images": of
        the other real images to the first, "images_a_class": the mean count}`.
    """
    sets = [(embed(x), np.asarray(y)) for x, y in ((outputs, asked), (real, real_labels), (others, other_labels))]
    distances, counts = [], []
    for label in np.unique(real_labels):
        generated, first, second = (features[labels == label] for features, labels in sets)
        count = min(len(generated), len(first), len(second))
        if count < 2:
            continue
        first = first[:count]
        distances.append([frechet_distance(group[:count], first) for group in (generated, second)])
        counts.append(count)
    if not counts:
        return None
    own, floor = np.mean(distances, axis=0)
    return {
        "frechet_distance": float(own),
        "frechet_distance_of_real_images": float(floor),
        "images_a_class": float(np.mean(counts)),
    }
