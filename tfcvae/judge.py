"""The judges: small classifiers of real images that say which class a generated image shows. They only measure.

There are two of different architectures, so that outputs which fool one network show up as a disagreement.

References:
    - He et al. 2016, "Deep Residual Learning for Image Recognition".
    - Page 2018, "How to Train Your ResNet" (few, wide stages; one-cycle rate, random crops and flips).
    - Simonyan & Zisserman 2015, "Very Deep Convolutional Networks" (plain pairs of convolutions between max pools).
    - Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule" (the Frechet distance between features).
"""

import keras
import numpy as np
from keras import layers

from tfcvae.prediction import predict
from tfcvae.registry import choose

JUDGES = {
    "tiny": ("residual", (8, 16)),
    "small": ("residual", (16, 32, 64)),
    "base": ("residual", (32, 64, 128, 256)),
    "plain-tiny": ("plain", (8, 16)),
    "plain-small": ("plain", (16, 32)),
    "plain-base": ("plain", (64, 128, 256)),
}
"""Kind and channels at full, half, quarter ... resolution, by name. The `small` ones are meant for MNIST, the `base`
ones for CIFAR-10 (72 million multiply-adds an image, and the plain one 153 million)."""


def build_judge(image_shape, num_classes, name="base", synchronized=False):
    """Builds a classifier, residual or plain.

    Train it on `TrainingData` with `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`; CIFAR-10 wants
    `flip=True, crop=4`, MNIST `crop=2`.

    Args:
        image_shape: `(height, width, channels)`. Values in [0, 1].
        num_classes: number of classes.
        name: a key of `JUDGES`.
        synchronized: take batch statistics over all replicas of `tf.distribute`.

    Returns:
        A `keras.Model` from images `(batch, *image_shape)` to float32 logits `(batch, num_classes)`.

    Raises:
        ValueError: for an unknown name; the message lists the known.
    """
    kind, channels = choose(JUDGES, name, "judge")

    def conv_norm_relu(x, channels, strides=1, *, name):
        x = layers.Conv2D(
            channels, 3, strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
        )(x)
        x = layers.BatchNormalization(momentum=0.9, synchronized=synchronized, name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    image = keras.Input(image_shape, name="image")
    x = layers.Rescaling(2.0, offset=-1.0, name="centre")(image)
    x = {"residual": _residual_stages, "plain": _plain_stages}[kind](x, channels, conv_norm_relu)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.1, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="judge")


def _residual_stages(x, channels, conv):
    x = conv(x, channels[0], name="stem")
    for stage, width in enumerate(channels[1:], 1):
        x = conv(x, width, strides=2, name=f"stage{stage}_down")
        branch = conv(x, width, name=f"stage{stage}_conv1")
        branch = conv(branch, width, name=f"stage{stage}_conv2")
        x = layers.Add(name=f"stage{stage}_add")([x, branch])
    return x


def _plain_stages(x, channels, conv):
    for stage, width in enumerate(channels):
        if stage:
            x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = conv(x, width, name=f"stage{stage}_conv1")
        x = conv(x, width, name=f"stage{stage}_conv2")
    return x


def predict_labels(judge, images, batch_size=500):
    """What the judge reads: the label with the largest logit.

    Args:
        judge: what `build_judge` returns, trained.
        images: NumPy `(n, *image_shape)` in [0, 1].

    Returns:
        Int64 `(n,)`.
    """
    batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    return np.concatenate([predict(judge, batch).argmax(axis=1) for batch in batches])


def judge_features(judge, images, batch_size=500):
    """What a judge's logits are computed from: the means of its last feature maps.

    Returns:
        Float32 `(n, channels)`.
    """
    network = keras.Model(judge.input, judge.get_layer("pool").output)
    batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    return np.concatenate([np.asarray(predict(network, batch), "float32") for batch in batches])


def frechet_distance(features, others):
    """Frechet distance between two sets of features, each taken as normally distributed (Heusel et al. 2017).

    `|m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))` of means m and covariances C. It is biased upwards for few images:
    compare only figures from equally many.

    Args:
        features, others: `(n, channels)` and `(m, channels)`, at least two rows each.

    Returns:
        Float, at least 0.
    """
    both = (np.asarray(x, "float64") for x in (features, others))
    (mean, covariance), (mean2, covariance2) = ((x.mean(axis=0), np.atleast_2d(np.cov(x, rowvar=False))) for x in both)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance2 @ root), 0)).sum()
    distance = np.square(mean - mean2).sum() + np.trace(covariance) + np.trace(covariance2) - 2 * shared
    return float(max(distance, 0.0))
