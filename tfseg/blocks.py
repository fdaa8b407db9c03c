"""The parts of a U-Net: a double convolution, blocks that halve the resolution, blocks that double it.

Every block is a function from tensor to tensor (channels last). `DOWN_BLOCKS` and `UP_BLOCKS` are open: see
`tfseg.registry.Registry` for how to add one.

References:
    - Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation".
    - Springenberg et al. 2015, "Striving for Simplicity: The All Convolutional Net" (strided convolution for pooling).
    - Odena et al. 2016, "Deconvolution and Checkerboard Artifacts" (resize + convolution for transposed convolution).
"""

from keras import layers, ops

from tfseg.normalization import BatchNormalization
from tfseg.registry import Registry

DOWN_BLOCKS = Registry("down block")
UP_BLOCKS = Registry("up block")
NORMALIZATIONS = Registry("normalization")

NORMALIZATIONS.register("batch")(lambda filters, name: BatchNormalization(name=name))
NORMALIZATIONS.register("sync_batch")(lambda filters, name: layers.BatchNormalization(synchronized=True, name=name))
NORMALIZATIONS.register("group")(lambda filters, name: layers.GroupNormalization(_groups(filters), name=name))
NORMALIZATIONS.register("layer")(lambda filters, name: layers.GroupNormalization(1, name=name))


def _groups(filters):
    """The largest number of groups that divides `filters`, at most 32 as in Wu & He 2018."""
    return max(groups for groups in range(1, min(32, filters) + 1) if filters % groups == 0)


def conv_norm_relu(x, filters, normalization="batch", kernel_size=3, strides=1, name="conv"):
    """Convolution, normalization, ReLU.

    Args:
        x: feature map, `(batch, height, width, channels)`.
        filters: number of output channels.
        normalization: a name in `NORMALIZATIONS`, or `None` for a convolution with bias and no normalization.
        kernel_size, strides: of the convolution, with "same" padding and He initialisation (He et al. 2015).
        name: prefix of the layers' names.

    Returns:
        Feature map, `(batch, height / strides, width / strides, filters)`.
    """
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=normalization is None,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    if normalization is not None:
        x = NORMALIZATIONS[normalization](filters, f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def double_conv(x, filters, normalization="batch", dropout=0.0, name="block"):
    """Two 3x3 convolutions (`conv_norm_relu`), then dropout with rate `dropout` in [0, 1) where it is not 0."""
    x = conv_norm_relu(x, filters, normalization, name=f"{name}_conv1")
    x = conv_norm_relu(x, filters, normalization, name=f"{name}_conv2")
    if dropout:
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return x


@DOWN_BLOCKS.register("maxpool")
def maxpool(x, filters, normalization, name):
    """2x2 max pooling: halves the resolution and has no parameters."""
    return layers.MaxPooling2D(2, name=f"{name}_maxpool")(x)


@DOWN_BLOCKS.register("strided")
def strided(x, filters, normalization, name):
    """3x3 convolution with stride 2, normalized and rectified: halves the resolution and learns how."""
    return conv_norm_relu(x, filters, normalization, strides=2, name=f"{name}_strided")


@UP_BLOCKS.register("transpose")
def transpose(x, filters, normalization, name):
    """2x2 transposed convolution with stride 2: doubles the resolution, each input pixel painting four."""
    return layers.Conv2DTranspose(
        filters, 2, strides=2, padding="same", kernel_initializer="he_normal", name=f"{name}_transpose"
    )(x)


@UP_BLOCKS.register("upsample")
def upsample(x, filters, normalization, name):
    """Bilinear upsampling by 2, then a 3x3 convolution: doubles the resolution without checkerboards."""
    x = enlarge(x, name)
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal", name=f"{name}_conv")(x)


def enlarge(x, name, dtype=None):
    """Bilinear upsampling by 2, also of a feature map of unknown size, which Keras's layer can't compile.

    A pixel of the result is three quarters of its source and a quarter of the next: the nearest source, blurred by
    (1, 2, 1) / 4 along each axis. Reflected, the edges are repeated, since each pixel is there twice.

    Args:
        x: Keras tensor `(batch, height, width, channels)`.
        name: what the names of its layers begin with.
        dtype: to compute in; by default that of Keras's policy.
    """
    if None not in x.shape[1:3]:
        return layers.UpSampling2D(2, interpolation="bilinear", dtype=dtype, name=f"{name}_bilinear")(x)
    x = layers.UpSampling2D(2, dtype=dtype, name=f"{name}_nearest")(x)
    x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    for number in (1, 2):
        x = layers.AveragePooling2D(2, strides=1, dtype=dtype, name=f"{name}_blur{number}")(x)
    return x
