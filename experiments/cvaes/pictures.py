"""The pictures of one trained conditional VAE: which images go in, and what the captions say.

Images and wrong labels are drawn at random with a fixed seed, never picked by hand.
"""

import numpy as np

from experiments.cvaes import figures, image_grids
from tfcvae.evaluate import relative_means, wrong_labels

SEED = 0
TILES = 25
SWEPT = 10
SHOWN = 20
"""Classes at most in a picture of several."""
PER_CLASS = 10
PAIRS = 3
LATENTS = 2000


def draw_all(model, data, readers, record, folder, title):
    """Draws every picture of a model into its folder, the learning curves apart.

    Args:
        data: an `Images`.
        readers: functions, by judge, from images to the labels that it reads.
        record: has `test` and `judge`, as in `record.json`.
        title: says which model this is.
    """
    draw_wrong_labels(model, data, readers, record, folder, title)
    names, (images, labels) = data.class_names, data.arrays("test", model.likelihood.binarises)
    rng = np.random.default_rng(SEED)

    shown = [label for label in np.unique(labels) if label < SHOWN]
    firsts = np.array([rng.choice(np.flatnonzero(labels == label)) for label in shown])[:SWEPT]
    swept, true, classes = images[firsts], labels[firsts], min(model.num_classes, SHOWN)
    every = "every label" if classes == model.num_classes else f"the first {classes} labels"
    image_grids.draw_label_sweep(
        swept, sweep_labels(model, swept, true), true, names[:SHOWN], folder / "label_sweep.png",
        f"{len(swept)} test images under {every}: {title}", "The latent is encoded with the image's own label.",
    )  # fmt: skip

    asked = np.repeat(np.arange(classes), PER_CLASS)
    samples = model.sample(asked, seed=SEED).reshape(classes, PER_CLASS, *data.image_shape)
    accuracy = record["test"]["sample_accuracy"]["accuracy"]
    image_grids.draw_samples(
        samples, names[:SHOWN], folder / "samples.png", f"Samples of each class: {title}",
        f"Latents drawn from the prior. Over many samples the judge that reads fewer reads {accuracy:.1%} as the class "
        f"asked for; of real images it reads {record['judge']['accuracy']:.1%} rightly.",
    )  # fmt: skip

    chosen = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:PAIRS] for label in range(classes)])
    image_grids.draw_reconstructions(
        images[chosen], model.reconstruct(images[chosen], labels[chosen]), labels[chosen], names,
        folder / "reconstructions.png", f"Test images and their reconstructions: {title}",
        f"Mean squared error a pixel over the test split: {record['test']['reconstruction_error']:.4f}.",
    )  # fmt: skip

    some = rng.permutation(len(images))[:LATENTS]
    figures.draw_latents(
        relative_means(model, images[some], labels[some]), labels[some], names, folder / "latents.png",
        f"Latent means of {len(some):,} test images: {title}",
        f"The two directions of largest variance. {what_latents_show(model)}",
    )  # fmt: skip


def what_latents_show(model):
    """What it means where classes lie on each other in `latents.png`."""
    if model.prior_name == "class":
        return "Each relative to the prior of its class, in standard deviations, without what the class says."
    return (
        "Classes that lie on each other are what conditioning aims at: the label is told to the decoder, so the latent "
        "need not repeat it."
    )


def sweep_labels(model, images, labels):
    """Shows each image under every label, the first `SHOWN`, with one latent an image: `(n, labels, *image_shape)`."""
    count, classes = len(images), min(model.num_classes, SHOWN)
    asked = np.tile(np.arange(classes), count)
    means, _ = model.encode(images, labels)
    outputs = model.decode(np.repeat(means, classes, axis=0), asked)
    return outputs.reshape(count, classes, *model.image_shape)


def draw_wrong_labels(model, data, readers, record, folder, title):
    """Draws the 25 test images that are sent in with a wrong label; arguments as for `draw_all`.

    The inputs are shown as the dataset has them; where the likelihood binarises, the model is fed their black-and-white
    draw, and the caption says so.
    """
    fed, labels = data.arrays("test", model.likelihood.binarises)
    chosen = np.random.default_rng(SEED).permutation(len(fed))[:TILES]
    shown = data.arrays("test")[0][chosen] if model.likelihood.binarises else fed[chosen]
    true = labels[chosen]
    asked = wrong_labels(true, model.num_classes, 1, SEED)[:, 0]
    fed = fed[chosen]
    model.relabel(fed[:1], asked[:1])  # compiled anew for any number of images, as by scoring, it rounds otherwise
    outputs = model.relabel(fed, asked)
    read = {name: reader(outputs) for name, reader in readers.items()}
    image_grids.draw_wrong_labels(
        shown, outputs, true, asked, read, data.class_names, folder / "wrong_labels.png",
        f"Sent in with a wrong label: {title}", wrong_labels_caption(model, record),
    )  # fmt: skip


def wrong_labels_caption(model, record):
    """What is done to the images of `wrong_labels.png`, and how it turns out over the whole test split."""
    relabel, judge = record["test"]["relabel"], record["judge"]
    a, count = relabel["readings"]["a"], relabel["images"] * relabel["wrong_labels"]
    shares = " and ".join(f"{name} {share:.1%}" for name, share in a["judges"].items())
    real = " and ".join(f"{name} {facts['accuracy']:.1%}" for name, facts in judge["judges"].items())
    draw = " The model is fed a black-and-white draw of each." if model.likelihood.binarises else ""
    return (
        f"Encoder and decoder are both told the wrong label. Of all {count:,} such outputs the judges read as the "
        f"label asked for: {shares} (a model that ignores labels: {relabel['ignored_label_accuracy']:.1%}); of real "
        f"images they read rightly: {real}. {a['retention']:.1%} are nearest to their own input among "
        f"{relabel['gallery']:,} test images. Images and labels drawn at random, seed {SEED}.{draw}"
    )
