"""The pictures of one trained conditional VAE: which images go in, and what the captions say.

Images and wrong labels are drawn at random with a fixed seed, never picked by hand.
"""

import numpy as np

from experiments.cvaes import figures as cvae_figures
from tfcvae.evaluate import relative_means, wrong_labels

SEED = 0
TILES = 25
SWEPT = 10
PER_CLASS = 10
PAIRS = 3
LATENTS = 2000


def draw_gallery(model, data, read, record, folder, title):
    """Draws every picture of a model into its folder, the learning curves apart.

    Args:
        model: a `CVAE`.
        data: a `LabelledImages`.
        read: function from images to the labels that the judge reads.
        record: has `test` and `judge`, as in `record.json`.
        folder: where to.
        title: says which model this is.
    """
    draw_wrong_labels(model, data, read, record, folder, title)
    names, (images, labels) = data.class_names, data.arrays("test", model.likelihood.binarises)
    rng = np.random.default_rng(SEED)

    firsts = np.array([rng.choice(np.flatnonzero(labels == label)) for label in np.unique(labels)])[:SWEPT]
    swept, true, classes = images[firsts], labels[firsts], model.num_classes
    means, _ = model.encode(swept, true)
    outputs = model.decode(np.repeat(means, classes, axis=0), np.tile(np.arange(classes), len(firsts)))
    outputs = outputs.reshape(len(firsts), classes, *data.image_shape)
    cvae_figures.draw_label_sweep(
        swept, outputs, true, names, folder / "label_sweep.png", f"Ten test images under every label: {title}",
        "The latent is encoded with the image's own label.",
    )  # fmt: skip

    asked = np.repeat(np.arange(classes), PER_CLASS)
    samples = model.sample(asked, seed=SEED).reshape(classes, PER_CLASS, *data.image_shape)
    accuracy = record["test"]["sample_accuracy"]["accuracy"]
    cvae_figures.draw_samples(
        samples, names, folder / "samples.png", f"Samples of each class: {title}",
        f"Latents drawn from the prior. Over many samples the judge reads {accuracy:.1%} as the class asked for; of "
        f"real images it reads {record['judge']['accuracy']:.1%} rightly.",
    )  # fmt: skip

    chosen = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:PAIRS] for label in range(classes)])
    cvae_figures.draw_reconstructions(
        images[chosen], model.reconstruct(images[chosen], labels[chosen]), labels[chosen], names,
        folder / "reconstructions.png", f"Test images and their reconstructions: {title}",
        f"Mean squared error a pixel over the test split: {record['test']['reconstruction_error']:.4f}.",
    )  # fmt: skip

    some = rng.permutation(len(images))[:LATENTS]
    relative = " Each relative to its class's prior, in standard deviations." if model.prior_name == "class" else ""
    cvae_figures.draw_latents(
        relative_means(model, images[some], labels[some]), labels[some], names, folder / "latents.png",
        f"Latent means of {len(some):,} test images: {title}",
        f"The two directions of largest variance.{relative} Classes that lie on each other are what conditioning aims "
        "at: the label is told to the decoder, so the latent need not repeat it.",
    )  # fmt: skip


def draw_wrong_labels(model, data, read, record, folder, title):
    """Draws the 25 test images that are sent in with a wrong label; arguments as for `draw_gallery`."""
    images, labels = data.arrays("test", model.likelihood.binarises)
    chosen = np.random.default_rng(SEED).permutation(len(images))[:TILES]
    inputs, true = images[chosen], labels[chosen]
    asked = wrong_labels(true, model.num_classes, 1, SEED)[:, 0]
    model.relabel(inputs[:1], asked[:1])  # compiled anew for any number of images, as by scoring, it rounds otherwise
    outputs = model.relabel(inputs, asked)
    relabel, judge = record["test"]["relabel"], record["judge"]
    caption = (
        f"Encoder and decoder are both told the wrong label. Of all "
        f"{relabel['images'] * relabel['wrong_labels']:,} such outputs the judge reads "
        f"{relabel['readings']['a']['accuracy']:.1%} as the label asked for; of real images it reads "
        f"{judge['accuracy']:.1%} rightly. Images and labels drawn at random, seed {SEED}."
    )
    cvae_figures.draw_wrong_labels(
        inputs, outputs, true, asked, read(outputs), data.class_names, folder / "wrong_labels.png",
        f"Sent in with a wrong label: {title}", caption,
    )  # fmt: skip
