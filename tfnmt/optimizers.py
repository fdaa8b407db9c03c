"""Adam that reads and writes each variable once a step on CPUs.

References:
    - Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization".
"""

import keras
from keras import ops

from tfnmt.fast_layers import on_cpus


@keras.saving.register_keras_serializable("tfnmt")
class Adam(keras.optimizers.Adam):
    """Keras's Adam by TensorFlow's own kernel, where Keras composes it of ten elementwise operations. Values are the
    same. On GPUs and on other backends, where compilers merge them, it is Keras's."""

    def update_step(self, gradient, variable, learning_rate):
        if not on_cpus() or self.amsgrad or variable.dtype != "float32":
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        index, step = self._get_variable_index(variable), ops.cast(self.iterations + 1, "float32")
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,  # Keras hands over TensorFlow's variable
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, "float32"),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )
