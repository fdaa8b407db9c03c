"""Everything that the test split says of a conditional VAE."""

import math

from experiments.cvaes.recipes import ELBO_SAMPLES, PROBABILITIES
from tfcvae.evaluate import (
    active_units,
    bits_per_dim,
    importance_weighted_nll,
    kl_divergence_of,
    likelihood_scores,
    reconstruction_error,
    relabel_scores,
    sample_accuracy,
)

IMPORTANCE_IMAGES = 1000
VALIDATION_IMAGES = 1000  # that are relabelled to choose between models


def score(model, data, recipe, read):
    """Scores a trained model on the test split, and relabels some validation images, by which models are chosen.

    Args:
        model: a `CVAE`.
        data: a `LabelledImages`.
        recipe: its `Recipe`.
        read: function from images to the labels that the judge reads.

    Returns:
        `{"test": scores, "validation": {"relabel": ...}}`; see `tfcvae.evaluate`.
    """
    images, labels = data.arrays("test", model.likelihood.binarises)
    test = likelihood_scores(model, images, labels, ELBO_SAMPLES)
    test["importance_weighted_nll"] = _importance(model, images, labels, recipe.importance_samples)
    has_bits = recipe.likelihood in PROBABILITIES
    test["bits_per_dim"] = bits_per_dim(test["negative_elbo"], data.image_shape) if has_bits else None
    test["kl"] = kl_divergence_of(model, images, labels)
    test["reconstruction_error"] = reconstruction_error(model, images, labels)
    test["active_units"] = active_units(model, images, labels)
    test["latent_units"] = math.prod(model.latent_shape)
    test["sample_accuracy"] = sample_accuracy(model, read, recipe.samples_per_class)
    test["relabel"] = relabel_scores(model, images, labels, read, recipe.wrong_labels)
    images, labels = (array[:VALIDATION_IMAGES] for array in data.arrays("validation", model.likelihood.binarises))
    return {"test": test, "validation": {"relabel": relabel_scores(model, images, labels, read, recipe.wrong_labels)}}


def _importance(model, images, labels, samples):
    if not samples:
        return None
    images, labels = images[:IMPORTANCE_IMAGES], labels[:IMPORTANCE_IMAGES]
    nll = importance_weighted_nll(model, images, labels, samples)
    return {"nll": nll, "samples": samples, "images": len(images)}


def one_line(test, judge_accuracy):
    """The scores that matter most, on one line, with what they are to be read against."""
    bits, relabel = test["bits_per_dim"], test["relabel"]
    a, b = relabel["readings"]["a"], relabel["readings"]["b"]
    return (
        f"-ELBO {test['negative_elbo']:.2f} nats{'' if bits is None else f' ({bits:.3f} bits/dim)'}, samples read as "
        f"their label {test['sample_accuracy']['accuracy']:.1%}, relabel accuracy (a) {a['accuracy']:.1%} "
        f"(b) {b['accuracy']:.1%} (label ignored: {relabel['ignored_label_accuracy']:.1%}), retention (a) "
        f"{a['retention']:.1%}; the judge reads {judge_accuracy:.1%} of real images"
    )
