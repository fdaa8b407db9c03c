"""What makes a VAE conditional and variational: label embedding, label modulation, reparameterisation.

References:
    - Kingma & Welling 2014, "Auto-Encoding Variational Bayes" (reparameterisation).
    - Kingma & Welling 2019, "An Introduction to Variational Autoencoders", section 2.5.1 (full covariance).
    - Sohn et al. 2015, "Learning Structured Output Representation using Deep Conditional Generative Models".
    - Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer" (scale and shift per channel).
"""

import keras
import numpy as np
from keras import ops


def check_labels(labels, num_classes):
    """Checks labels whose values are known.

    Args:
        labels: integers `(batch,)` or one-hot vectors `(batch, num_classes)`; anything that NumPy understands.
        num_classes: number of classes.

    Returns:
        The labels as a NumPy array.

    Raises:
        ValueError: for another shape, a label that is not whole, or one outside `[0, num_classes)`.
    """
    labels = np.asarray(labels)
    _check_shape(labels.shape, num_classes)
    if labels.ndim == 1:
        wrong = labels[(labels != np.floor(labels)) | (labels < 0) | (labels >= num_classes)]
        if wrong.size:
            raise ValueError(f"Labels must be whole numbers in [0, {num_classes}). Received: {wrong[0]}")
    return labels


def _check_shape(shape, num_classes):
    if len(shape) != 1 and (len(shape) != 2 or shape[1] != num_classes):
        raise ValueError(
            f"Labels must be integers of shape (batch,) or one-hot vectors of shape (batch, {num_classes}). "
            f"Received: shape={tuple(shape)}"
        )


def shift_labels(labels, shifts, num_classes):
    """Other labels: `(label + shift) % num_classes`.

    Args:
        labels: tensor, integers `(batch,)` or one-hot vectors `(batch, num_classes)`.
        shifts: int32 tensor `(batch,)`, not negative.

    Returns:
        Int32 `(batch,)`.
    """
    labels = ops.argmax(labels, axis=-1) if len(labels.shape) == 2 else labels
    return (ops.cast(labels, "int32") + shifts) % num_classes


@keras.saving.register_keras_serializable("tfcvae")
class LabelEmbedding(keras.layers.Layer):
    """A learned vector for each class; integer labels and one-hot vectors give the same result.

    Both become the one-hot vector times the embedding table.

    Args:
        num_classes: number of classes.
        dim: length of a vector.

    Call arguments:
        labels: array or tensor, integers `(batch,)` or one-hot vectors `(batch, num_classes)`.

    Returns:
        `(batch, dim)` in the layer's compute dtype.

    Raises:
        ValueError: at call, for another shape, and for a label outside `[0, num_classes)` where the values are known
            (not inside a compiled function, where such a label gives NaN).
    """

    def __init__(self, num_classes, dim, **kwargs):
        super().__init__(**kwargs)
        self.num_classes, self.dim = num_classes, dim

    def build(self, labels_shape):
        unit = keras.initializers.RandomNormal(stddev=1.0)  # small embeddings would be learned to be used too late
        self.table = self.add_weight((self.num_classes, self.dim), initializer=unit, name="table")

    def call(self, labels):
        _check_shape(labels.shape, self.num_classes)
        values = _known_values(labels)
        if values is not None:
            check_labels(values, self.num_classes)
        if len(labels.shape) == 1:
            labels = ops.cast(labels, "int32")  # in which any number of classes can be told
            known = ops.logical_and(labels >= 0, labels < self.num_classes)
            labels = ops.one_hot(labels, self.num_classes)
            labels = ops.where(known[:, None], labels, float("nan"))
        return ops.matmul(ops.cast(labels, self.compute_dtype), self.table)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "dim": self.dim}


def _known_values(tensor):
    """The tensor's values as NumPy, or None inside a compiled function or a symbolic model."""
    try:
        return np.asarray(tensor)
    except (NotImplementedError, TypeError, ValueError):  # what TensorFlow, JAX and Keras raise there
        return None


@keras.saving.register_keras_serializable("tfcvae")
class LabelModulation(keras.layers.Layer):
    """Scales and shifts every channel of a feature map by amounts that depend on the label (FiLM).

    `x * (1 + scale) + shift`, with scale and shift linear in the embedding and 0 at first: it starts as the identity.

    Call arguments:
        inputs: `(features, embedding)`: `(batch, height, width, channels)` and `(batch, dim)`.

    Returns:
        `(batch, height, width, channels)`.
    """

    def build(self, input_shapes):
        features_shape, embedding_shape = input_shapes
        self.channels = features_shape[-1]
        self.project = keras.layers.Dense(2 * self.channels, kernel_initializer="zeros", dtype=self.dtype_policy)
        self.project.build(embedding_shape)

    def call(self, inputs):
        features, embedding = inputs
        scale, shift = ops.split(ops.reshape(self.project(embedding), (-1, 1, 1, 2 * self.channels)), 2, axis=-1)
        return features * (1 + scale) + shift


def reparameterise(mean, log_variance, noise, lower=None):
    """A draw from a normal distribution through which gradients pass: `mean + exp(log_variance / 2) * noise`.

    Args:
        mean, log_variance: of the normal distribution, any shape.
        noise: draws from N(0, I), of the same shape.
        lower: for a full covariance, what its Cholesky factor has below the diagonal `exp(log_variance / 2)`:
            `(batch, dim, dim)`, 0 elsewhere. Then `lower @ noise` is added, and all else is `(batch, dim)`.

    Returns:
        Float32 of the same shape.
    """
    mean, log_variance, noise = (ops.cast(x, "float32") for x in (mean, log_variance, noise))
    latents = mean + ops.exp(0.5 * log_variance) * noise
    return latents if lower is None else latents + ops.einsum("bij,bj->bi", lower, noise)


@keras.saving.register_keras_serializable("tfcvae")
class StrictlyLower(keras.layers.Layer):
    """Vectors of `dim * (dim - 1) / 2` numbers as matrices that hold them below the diagonal, row by row.

    Args:
        dim: rows and columns of a matrix.

    Call arguments:
        entries: `(batch, dim * (dim - 1) / 2)`.

    Returns:
        Float32 `(batch, dim, dim)`, 0 on and above the diagonal.
    """

    def __init__(self, dim, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.places = np.zeros((dim, dim), "int32")  # 0 stands for a zero that is put before the entries
        self.places[np.tril_indices(dim, -1)] = np.arange(1, dim * (dim - 1) // 2 + 1)

    def call(self, entries):
        entries = ops.pad(ops.cast(entries, "float32"), [[0, 0], [1, 0]])
        return ops.reshape(ops.take(entries, self.places.ravel(), axis=1), (-1, self.dim, self.dim))

    def get_config(self):
        return {**super().get_config(), "dim": self.dim}


def soft_bound(x, limit):
    """Squeezes `x` into (-limit, limit), float32, with slope 1 at 0: `limit * tanh(x / limit)`.

    Unlike clipping it keeps a gradient everywhere. Log-variances and log-scales go through it, so that no exponential
    of theirs overflows.
    """
    return limit * ops.tanh(ops.cast(x, "float32") / limit)
