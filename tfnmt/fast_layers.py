"""Layer normalization and dropout that do not hold up training on CPUs.

Keras composes both of elementwise operations, each of which reads and writes all features, forward and backward. On
CPUs they take a good part of a transformer's step, since its matrix products are small. Compilers merge such operations
by themselves: on GPUs and on other backends the layers do what Keras does.

References:
    - Ba et al. 2016, "Layer Normalization".
    - Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".
"""

import keras
from keras import ops


def on_cpus():
    """Whether TensorFlow computes on CPUs alone."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


@keras.saving.register_keras_serializable("tfnmt")
class LayerNormalization(keras.layers.LayerNormalization):
    """Keras's layer over the last axis, with scale and offset, and a gradient in closed form. Values are the same."""

    def call(self, inputs):
        simple = self.variable_dtype == "float32" and self.gamma is not None and self.beta is not None
        if not (simple and on_cpus()):
            return super().call(inputs)
        return standardise(inputs, self.gamma, self.beta, self.epsilon)


def standardise(x, scale, offset, epsilon):
    """`(x - mean) / sqrt(variance + epsilon) * scale + offset` over the last axis with TensorFlow, in float32.

    With n the standardised features and u the gradient of them, that of `x` is `(u - mean(u) - n * mean(u * n)) /
    sqrt(variance + epsilon)`.

    Args:
        x: floating-point tensor `(..., width)`.
        scale, offset: float32 `(width,)`.

    Returns:
        A tensor like `x`.
    """
    import tensorflow as tf

    def mean(values):
        return tf.reduce_mean(values, axis=-1, keepdims=True)

    @tf.custom_gradient
    def run(x, scale, offset):
        centred = tf.cast(x, "float32")
        centred -= mean(centred)
        inverse = tf.math.rsqrt(mean(tf.square(centred)) + epsilon)
        values = centred * inverse

        def gradient(upstream):
            upstream = tf.cast(upstream, "float32")
            of_scale, of_offset = (tf.raw_ops.BiasAddGrad(out_backprop=each) for each in (upstream * values, upstream))
            upstream *= scale
            own = inverse * (upstream - mean(upstream) - values * mean(upstream * values))
            return tf.cast(own, x.dtype), of_scale, of_offset

        return tf.cast(values * scale + offset, x.dtype), gradient

    return run(x, tf.convert_to_tensor(scale), tf.convert_to_tensor(offset))


@keras.saving.register_keras_serializable("tfnmt")
class Dropout(keras.layers.Dropout):
    """Keras's layer with a random byte a feature instead of a 32-bit number: drawing is most of its time on CPUs.

    Dropped is the nearest share to `rate` that is a whole number of 256ths, 26 of them for 0.1, and the other features
    are scaled by what that leaves: their mean stays. A rate for which this is none or all is left to Keras.
    """

    def call(self, inputs, training=False):
        dropped = round(256 * self.rate)
        if not (training and 0 < dropped < 256 and self.noise_shape is None and on_cpus()):
            return super().call(inputs, training=training)
        import tensorflow as tf

        count, seed = tf.size(inputs), tf.cast(self.seed_generator.next(), "int32")
        numbers = tf.random.stateless_uniform([(count + 3) // 4], seed, None, None, "int32")  # all bits random
        kept = tf.reshape(tf.bitcast(numbers, "uint8"), [-1])[:count] >= dropped
        factors = ops.cast(tf.reshape(kept, tf.shape(inputs)), inputs.dtype) * (256 / (256 - dropped))
        return inputs * factors
