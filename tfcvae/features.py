"""The feature network: a frozen classifier of real images in whose activations a loss can compare images.

What a label is worth in pixels is lost among their noise; in the features of a classifier it is most of what there is
(feature-consistent VAE: Hou et al. 2017, "Deep Feature Consistent Variational Autoencoder"). It is of another
architecture than the judges (`tfcvae.judge`), is trained apart from them, and takes no part in any score.

References:
    - He et al. 2016, "Identity Mappings in Deep Residual Networks" (activation before convolution).
    - Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution".
"""

import keras
import numpy as np
from keras import layers, ops

from tfcvae.prediction import predict
from tfcvae.registry import choose

FEATURE_NETWORKS = {"tiny": (8, 16), "small": (16, 32, 64), "base": (32, 64, 128, 256)}
"""Sizes by name: channels at full, half, quarter ... resolution. `small` is meant for MNIST, `base` for CIFAR-10
(78 million multiply-adds an image)."""

SMALLEST_DEVIATION = 1e-3


def build_feature_classifier(image_shape, num_classes, name="base", synchronized=False):
    """Builds the classifier that becomes a feature network: pre-activation residual stages between average pools.

    Train it on `tfcvae.data.TrainingData` with `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, then
    pass it to `feature_network`. The output of stage n is the layer `features<n>`.

    Args:
        image_shape: `(height, width, channels)`. Values in [0, 1].
        num_classes: number of classes.
        name: a key of `FEATURE_NETWORKS`.
        synchronized: take batch statistics over all replicas of `tf.distribute`.

    Returns:
        A `keras.Model` from images `(batch, *image_shape)` to float32 logits `(batch, num_classes)`.

    Raises:
        ValueError: for an unknown name; the message lists the known.
    """
    widths = choose(FEATURE_NETWORKS, name, "feature network")

    def norm_relu(x, name):
        x = layers.BatchNormalization(momentum=0.9, synchronized=synchronized, name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    def conv(x, channels, size, name):
        options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal", "name": name}
        return layers.Conv2D(channels, size, **options)(x)

    image = keras.Input(image_shape, name="image")
    x = layers.Rescaling(2.0, offset=-1.0, name="centre")(image)
    x = conv(x, widths[0], 3, "stem")
    for stage, width in enumerate(widths):
        if stage:
            x = layers.AveragePooling2D(2, name=f"pool{stage}")(x)
            x = conv(x, width, 1, f"widen{stage}")
        branch = conv(norm_relu(x, f"stage{stage}_a"), width, 3, f"stage{stage}_conv1")
        branch = conv(norm_relu(branch, f"stage{stage}_b"), width, 3, f"stage{stage}_conv2")
        x = layers.Add(name=f"features{stage}")([x, branch])
    x = layers.GlobalAveragePooling2D(name="pool")(norm_relu(x, "last"))
    x = layers.Dropout(0.1, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="feature_classifier")


def feature_network(classifier, images, batch_size=500):
    """Freezes a trained classifier and lets it put out its features.

    Args:
        classifier: what `build_feature_classifier` returns, trained.
        images: real ones, NumPy `(n, *image_shape)` in [0, 1]; a thousand are enough. Over them the standard deviation
            of each feature channel is taken, by which it is divided, so that every channel counts as much.

    Returns:
        A frozen `keras.Model` from images to the list of its features, `(batch, height / 2^n, width / 2^n, channels)`
        for stage n, in units of their standard deviation over real images, followed by the float32 logits.
    """
    stages = [layer for layer in classifier.layers if layer.name.startswith("features")]
    network = keras.Model(classifier.input, [layer.output for layer in stages])
    parts = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    sums = [np.zeros((2, layer.output.shape[-1])) for layer in stages]
    for part in parts:
        for total, values in zip(sums, predict(network, part), strict=True):
            values = np.asarray(values, "float64")
            total += [values.mean((1, 2)).sum(0), np.square(values).mean((1, 2)).sum(0)]
    outputs = []
    for layer, (mean, square) in zip(stages, (total / len(images) for total in sums), strict=True):
        deviation = np.sqrt(np.maximum(square - mean**2, SMALLEST_DEVIATION**2))
        scale = layers.Rescaling((1 / deviation).tolist(), name=f"scaled_{layer.name}")
        outputs.append(scale(layer.output))
    frozen = keras.Model(classifier.input, [*outputs, classifier.output], name="feature_network")
    frozen.trainable = False
    return frozen


def feature_distance(features, others):
    """How far images are from others in the features of a network.

    Mean squared difference within each scale, and of these the mean over scales.

    Args:
        features, others: lists with a tensor a scale, `(batch, height, width, channels)`.

    Returns:
        Float32 `(batch,)`, at least 0.
    """
    distances = []
    for a, b in zip(features, others, strict=True):
        difference = ops.cast(a, "float32") - ops.cast(b, "float32")
        distances.append(ops.mean(ops.square(difference), axis=(1, 2, 3)))
    return sum(distances) / len(distances)
