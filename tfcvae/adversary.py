"""The adversary: a small network that tells real images of a class from decoded ones, and so teaches the decoder what
sharp images look like. It is an addition to training alone; a trained model does not contain it.

References:
    - Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric" (VAE/GAN).
    - Bao et al. 2017, "CVAE-GAN: Fine-Grained Image Generation through Asymmetric Training".
    - Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks" (normalization, hinge loss).
    - Miyato & Koyama 2018, "cGANs with Projection Discriminator" (how the label enters).
    - Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training" (`augment`).
"""

import keras
from keras import layers, ops

from tfcvae.registry import choose

ADVERSARIES = {"tiny": (8, 16), "base": (32, 64, 128, 256)}
"""Sizes by name: channels at full, half, quarter ... resolution."""

SHIFT = 2
"""Pixels by which `augment` moves an image at most, up or down and left or right."""


@keras.saving.register_keras_serializable("tfcvae")
class SpectralConv2D(layers.Conv2D):
    """A convolution whose kernel is divided by its largest singular value, as a `(inputs, filters)` matrix.

    One step of power iteration in each training pass follows that value; its vector `u` is a weight, so that a resumed
    training goes on with it. Keras's own `SpectralNormalization` writes the divided kernel back into the weight instead
    and lets no gradient through the division. Arguments as for `keras.layers.Conv2D`.
    """

    def build(self, input_shape):
        super().build(input_shape)
        unit = keras.initializers.RandomNormal(1.0)
        self.u = self.add_weight(
            (1, self.filters), unit, trainable=False, autocast=False, aggregation="only_first_replica", name="u"
        )

    def call(self, inputs, training=False):
        outputs = self.convolution_op(inputs, ops.cast(self.normalized_kernel(training), inputs.dtype))
        return outputs + ops.cast(self.bias, outputs.dtype) if self.use_bias else outputs

    def normalized_kernel(self, training=False):
        """The kernel over its largest singular value, float32; in training, `u` moves on by one power iteration."""
        kernel = ops.cast(self.kernel, "float32")
        matrix = ops.reshape(kernel, (-1, self.filters))
        fixed = ops.stop_gradient(matrix)
        v = _unit(ops.matmul(self.u, ops.transpose(fixed)))
        u = _unit(ops.matmul(v, fixed))
        if training:
            self.u.assign(u)
        sigma = ops.sum(ops.matmul(ops.stop_gradient(v), matrix) * ops.stop_gradient(u))
        return kernel / sigma


def build_adversary(image_shape, num_classes, name="base"):
    """Builds the network that scores how real an image of a class looks.

    Args:
        image_shape: `(height, width, channels)`. Values in [0, 1].
        num_classes: number of classes.
        name: a key of `ADVERSARIES`.

    Returns:
        A `keras.Model` from `(image, label)`, `(batch, *image_shape)` and one-hot `(batch, num_classes)`, to float32
        scores `(batch,)`, higher for what looks more real. Inside: spectrally normalized convolutions, and the label by
        projection: the features' inner product with a vector for each class.

    Raises:
        ValueError: for an unknown name; the message lists the known.
    """
    first, *widths = choose(ADVERSARIES, name, "adversary")
    image = keras.Input(image_shape, name="image")
    label = keras.Input((num_classes,), name="label")
    x = layers.Rescaling(2.0, offset=-1.0, name="centre")(image)
    x = _leaky(SpectralConv2D(first, 3, padding="same", name="stem")(x), "stem")
    for level, width in enumerate(widths, 1):
        x = _leaky(SpectralConv2D(width, 4, strides=2, padding="same", name=f"down{level}")(x), f"down{level}")
        x = _leaky(SpectralConv2D(width, 3, padding="same", name=f"conv{level}")(x), f"conv{level}")
    x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    score = layers.Dense(1, dtype="float32", name="score")(x)
    vector = layers.Dense(x.shape[-1], use_bias=False, dtype="float32", name="class_vector")(label)
    projection = layers.Dot(axes=1, dtype="float32", name="projection")([x, vector])
    total = layers.Add(dtype="float32", name="total")([score, projection])
    return keras.Model([image, label], layers.Reshape((), dtype="float32", name="scores")(total), name="adversary")


def hinge_loss(real, decoded):
    """The adversary's loss: `mean(max(0, 1 - real)) + mean(max(0, 1 + decoded))`, from scores `(batch,)` of each."""
    return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + decoded))


def augment(images, mirrored, shifts):
    """Mirrors and moves images in a way that gradients pass through; what comes in at an edge is 0.

    Args:
        images: `(batch, height, width, channels)`.
        mirrored: bool `(batch,)`: left to right, after the shift.
        shifts: int32 `(batch, 2)`: pixels by which the content moves up and to the left; negative for down and right.

    Returns:
        Images of the same shape and type.
    """
    height, width = images.shape[1:3]
    rows = ops.arange(height)[None] + shifts[:, :1]
    columns = ops.arange(width)[None]
    columns = ops.where(mirrored[:, None], width - 1 - columns, columns) + shifts[:, 1:]
    rows, columns = (ops.cast(_selection(i, size), images.dtype) for i, size in ((rows, height), (columns, width)))
    moved = ops.einsum("bih,bhwc->biwc", rows, images)
    return ops.einsum("bjw,biwc->bijc", columns, moved)


def _selection(indices, size):
    """`(batch, n, size)`: a row for each index with a single 1, or none where the index lies outside."""
    return ops.equal(indices[:, :, None], ops.arange(size)[None, None])


def _unit(vector):
    return vector / (ops.norm(vector) + 1e-12)


def _leaky(x, name):
    return layers.LeakyReLU(0.2, name=f"{name}_relu")(x)
