"""The judge: a small classifier of real images that says which class a generated image shows. It only measures.

References:
    - He et al. 2016, "Deep Residual Learning for Image Recognition".
    - Page 2018, "How to Train Your ResNet" (few, wide stages; one-cycle rate, random crops and flips).
"""

import keras
import numpy as np
from keras import layers

from tfcvae.registry import choose

JUDGES = {"tiny": (8, 16), "small": (16, 32, 64), "base": (32, 64, 128, 256)}
"""Sizes by name: channels at full, half, quarter ... resolution. `small` is meant for MNIST (9 million multiply-adds an
image), `base` for CIFAR-10 (72 million)."""


def build_judge(image_shape, num_classes, name="base", synchronized=False):
    """Builds a residual classifier.

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
    channels = choose(JUDGES, name, "judge")

    def conv_norm_relu(x, channels, strides=1, *, name):
        x = layers.Conv2D(
            channels, 3, strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
        )(x)
        x = layers.BatchNormalization(momentum=0.9, synchronized=synchronized, name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    image = keras.Input(image_shape, name="image")
    x = layers.Rescaling(2.0, offset=-1.0, name="centre")(image)
    x = conv_norm_relu(x, channels[0], name="stem")
    for stage, width in enumerate(channels[1:], 1):
        x = conv_norm_relu(x, width, strides=2, name=f"stage{stage}_down")
        branch = conv_norm_relu(x, width, name=f"stage{stage}_conv1")
        branch = conv_norm_relu(branch, width, name=f"stage{stage}_conv2")
        x = layers.Add(name=f"stage{stage}_add")([x, branch])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.1, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="judge")


def predict_labels(judge, images, batch_size=500):
    """What the judge reads: the label with the largest logit.

    Args:
        judge: what `build_judge` returns, trained.
        images: NumPy `(n, *image_shape)` in [0, 1].

    Returns:
        Int64 `(n,)`.
    """
    batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    return np.concatenate([judge.predict_on_batch(batch).argmax(axis=1) for batch in batches])
