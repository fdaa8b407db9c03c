"""One optimizer step, written once for both backends: `minimise(function, optimizer, variables)`.

TensorFlow records what a function does to variables. JAX differentiates pure functions, so there the values of all
variables are held outside of them for the length of a step (`Values`).
"""

import keras


def minimise(function, optimizer, variables):
    """Takes a step down the gradient of a loss, on TensorFlow.

    Gradients are summed over the replicas of `tf.distribute`, so each contributes its share of the mean.

    Args:
        function: without arguments; returns `(loss, result)`: a scalar, and anything.
        optimizer: a Keras optimizer, with or without loss scaling.
        variables: list of `keras.Variable`.

    Returns:
        The function's `result`.
    """
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss, result = function()
        loss = optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return result


class Values:
    """The values of Keras variables within one compiled step on JAX.

    Args:
        variables: lists of `keras.Variable`, one for each part of the state.
        state: lists of their values, in the same order.
    """

    def __init__(self, variables, state):
        self._variables = [list(part) for part in variables]
        pairs = zip(self._variables, state, strict=True)
        self._now = {id(v): (v, value) for part in pairs for v, value in zip(*part, strict=True)}

    def state(self):
        """The values now, in the form of the `state` that they came in."""
        return tuple(self._of(part) for part in self._variables)

    def run(self, function, *args):
        """Calls a function that reads and assigns the variables, and keeps what it assigned."""
        with keras.StatelessScope(self._now.values()) as scope:
            result = function(*args)
        self._now = {key: (v, scope.get_current_value(v)) for key, (v, _) in self._now.items()}
        return result

    def minimise(self, function, optimizer, variables):
        """As the function `minimise`, on JAX."""
        import jax

        def differentiable(values):
            known = self._now | {id(v): (v, value) for v, value in zip(variables, values, strict=True)}
            with keras.StatelessScope(known.values()) as scope:
                loss, result = function()
                loss = optimizer.scale_loss(loss)
            fixed = {id(v) for v in variables}
            assigned = {key: scope.get_current_value(v) for key, (v, _) in known.items() if key not in fixed}
            return loss, (result, assigned)

        values = self._of(variables)
        gradients, (result, assigned) = jax.grad(differentiable, has_aux=True)(values)
        self._now |= {key: (self._now[key][0], value) for key, value in assigned.items()}
        values, state = optimizer.stateless_apply(self._of(optimizer.variables), gradients, values)
        new = zip([*variables, *optimizer.variables], [*values, *state], strict=True)
        self._now |= {id(v): (v, value) for v, value in new}
        return result

    def _of(self, variables):
        return [self._now[id(v)][1] for v in variables]
