"""Batch normalization that does not hold up training on CPUs.

References:
    - Ioffe & Szegedy 2015, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
      Shift".
"""

import keras
from keras import layers, ops


class BatchNormalization(layers.BatchNormalization):
    """Keras's layer for feature maps, `(batch, height, width, channels)`, with a faster training step on CPUs.

    Keras composes the step of elementwise operations, each of which reads and writes a whole feature map. TensorFlow
    has one kernel for them all, which this layer calls; compilers merge them too, so on GPUs and on other backends it
    does what Keras does. Values are the same either way.

    Model files name it as Keras's own layer, so they load without this package.
    """

    __module__ = "keras.layers"

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable and mask is None and self._has_kernel(inputs)):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        unused = tf.zeros([0])
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=self.gamma, offset=self.beta, mean=unused, variance=unused, epsilon=self.epsilon
        )
        count = ops.cast(ops.size(inputs) // inputs.shape[-1], "float32")
        variance *= (count - 1) / count  # the kernel's is the unbiased estimate, and Keras keeps the biased one
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + new * (1 - self.momentum))
        return outputs

    def _has_kernel(self, inputs):
        """Whether training runs on TensorFlow, on CPUs, and is of the kind that the kernel computes."""
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        return (
            not tf.config.list_physical_devices("GPU")
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and not (self.synchronized or self.renorm)
            and self.variable_dtype == "float32"
            and keras.backend.standardize_dtype(inputs.dtype) != "float64"
        )
