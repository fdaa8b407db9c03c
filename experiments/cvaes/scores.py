"""Everything that the test split says of a conditional VAE."""

import math

import numpy as np

from experiments.cvaes.recipes import ELBO_SAMPLES, PROBABILITIES
from tfcvae.evaluate import (
    active_units,
    bits_per_dim,
    importance_weighted_nll,
    kl_divergence_of,
    likelihood_scores,
    realism,
    reconstruction_error,
    relabel_scores,
    sample_accuracy,
    wrong_labels,
)
from tfcvae.style import kept, slant, stroke_thickness

IMPORTANCE_IMAGES = 1000
VALIDATION_IMAGES = 1000  # that are relabelled to choose between models
STROKES = ("mnist", "glyphs")  # bright strokes on black, whose slant and thickness are their style


def score(model, data, recipe, panel):
    """Scores a trained model on the test split, and relabels some validation images, by which models are chosen.

    Args:
        data: an `Images`.
        panel: a `classifiers.Panel`.

    Returns:
        `{"test": scores, "validation": {"relabel": ...}}`; see `tfcvae.evaluate`. An energy has no ELBO.
    """
    images, labels = data.arrays("test", model.likelihood.binarises)
    test = {"comparable": model.likelihood.comparable}
    if not model.likelihood.uses_features:
        test |= likelihood_scores(model, images, labels, ELBO_SAMPLES)
        test["importance_weighted_nll"] = _importance(model, images, labels, recipe.importance_samples)
    has_bits = recipe.likelihood in PROBABILITIES
    test["bits_per_dim"] = bits_per_dim(test["negative_elbo"], data.image_shape) if has_bits else None
    test["kl"] = kl_divergence_of(model, images, labels)
    test["reconstruction_error"] = reconstruction_error(model, images, labels)
    test["active_units"] = active_units(model, images, labels)
    test["latent_units"] = math.prod(model.latent_shape)
    test["sample_accuracy"] = sample_accuracy(model, panel.readers, recipe.samples_per_class)
    test["relabel"] = relabel_scores(model, images, labels, panel.readers, recipe.wrong_labels)
    test["relabel"] |= _style(model, images, labels, recipe) if data.name in STROKES else {}
    others, other_labels = data.arrays("validation", model.likelihood.binarises)
    asked = wrong_labels(labels, model.num_classes, 1)[:, 0]
    outputs = model.relabel(images, asked)
    test["relabel"]["realism"] = realism(outputs, asked, images, labels, panel.embed, others, other_labels)
    images, labels = others[:VALIDATION_IMAGES], other_labels[:VALIDATION_IMAGES]
    chosen_by = relabel_scores(model, images, labels, panel.readers, recipe.wrong_labels)
    return {"test": test, "validation": {"relabel": chosen_by}}


def _style(model, images, labels, recipe):
    """How slant and stroke thickness pass from digits to what they become under wrong labels; see `tfcvae.style`."""
    asked = wrong_labels(labels, model.num_classes, recipe.wrong_labels)
    measures = {"slant": slant, "stroke_thickness": stroke_thickness}
    before = {name: np.tile(measure(images), asked.shape[1]) for name, measure in measures.items()}
    after = {name: [] for name in measures}
    for column in asked.T:
        outputs = model.relabel(images, column)
        for name, measure in measures.items():
            after[name].append(measure(outputs))
    told = np.tile(labels, asked.shape[1]), asked.T.ravel()
    return {"style": {name: kept(before[name], np.concatenate(after[name]), *told) for name in measures}}


def _importance(model, images, labels, samples):
    if not samples:
        return None
    images, labels = images[:IMPORTANCE_IMAGES], labels[:IMPORTANCE_IMAGES]
    nll = importance_weighted_nll(model, images, labels, samples)
    return {"nll": nll, "samples": samples, "images": len(images)}


def one_line(test, judge_accuracy):
    """The scores that matter most, on one line, with what they are to be read against."""
    relabel, parts = test["relabel"], []
    if "negative_elbo" in test:
        bits = "" if test["bits_per_dim"] is None else f" ({test['bits_per_dim']:.3f} bits/dim)"
        parts.append(f"-ELBO {test['negative_elbo']:.2f} nats{bits}")
    a, b = relabel["readings"]["a"], relabel["readings"]["b"]
    each = ", ".join(f"{name} {share:.1%}" for name, share in a["judges"].items())
    parts += [
        f"samples read as their label {test['sample_accuracy']['accuracy']:.1%}",
        f"relabel accuracy (a) {a['accuracy']:.1%} ({each}) (b) {b['accuracy']:.1%} (label ignored: "
        f"{relabel['ignored_label_accuracy']:.1%})",
        f"retention (a) {a['retention']:.1%}",
        f"of real images the judge reads {judge_accuracy:.1%}",
    ]
    return ", ".join(parts)
