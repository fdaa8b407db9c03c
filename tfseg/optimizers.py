"""AdamW with a rate of its own for parts of a model: a pretrained encoder moves slowly, a new decoder fast.

References:
    - Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization".
    - Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification" (discriminative fine-tuning).
"""

import keras


@keras.saving.register_keras_serializable("tfseg")
class RatedAdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` that multiplies the learning rate of some variables by a factor.

    Weight decay stays at the common rate; leave variables out of it with `exclude_from_weight_decay`.

    Args:
        factors: dictionary from a prefix of variables' paths to the factor of their rate, at least 0. A path begins
            with the name of the variable's layer, so `"encoder_"` is the encoder of `tfseg.build_unet`. A variable that
            no prefix fits has the factor 1; one that several fit has that of the longest.
        *args, **kwargs: those of `AdamW`.

    Example:

    >>> optimizer = RatedAdamW(learning_rate=1e-3, factors={"encoder_": 0.1})
    """

    def __init__(self, *args, factors=None, **kwargs):
        factors = dict(factors or {})
        for prefix, factor in factors.items():
            if not 0 <= factor < float("inf"):
                raise ValueError(f"factors must be at least 0, and finite. Received: {factor!r} for {prefix!r}")
        super().__init__(*args, **kwargs)
        self.factors = factors

    def build(self, variables):
        if not self.built:
            self._factor_of = [self._factor(variable.path) for variable in variables]
        super().build(variables)

    def _factor(self, path):
        fitting = [prefix for prefix in self.factors if path.startswith(prefix)]
        return self.factors[max(fitting, key=len)] if fitting else 1.0

    def update_step(self, gradient, variable, learning_rate):
        factor = self._factor_of[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self):
        return {**super().get_config(), "factors": dict(self.factors)}
