"""What an optimizer does over the steps of a training: its learning rate, and the averages of the weights."""

import math

import keras
from keras import ops

START_DIVISOR, END_DIVISOR = 25.0, 1000.0


@keras.saving.register_keras_serializable("harness")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """The one-cycle policy: a cosine rise to the peak rate, then a cosine fall to nearly nothing.

    Smith & Topin 2018, "Super-Convergence", with cosine instead of straight flanks. It starts at a 25th of the peak
    and ends at a thousandth.

    Args:
        peak: the largest rate.
        steps: length of the cycle, in optimizer steps; later steps keep the last rate.
        warmup: share of the steps that the rise takes, in (0, 1).

    Example:

    >>> schedule = OneCycle(peak=1.0, steps=100, warmup=0.25)
    >>> [round(float(schedule(step)), 3) for step in (0, 25, 100)]
    [0.04, 1.0, 0.001]
    """

    def __init__(self, peak, steps, warmup=0.2):
        if not 0 < warmup < 1 or steps < 1:
            raise ValueError(
                f"warmup must lie in (0, 1) and steps must be at least 1. Received: warmup={warmup!r}, steps={steps!r}"
            )
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step):
        done = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        rise = _cosine(ops.minimum(done / self.warmup, 1.0), self.peak / START_DIVISOR, self.peak)
        fall = _cosine(ops.maximum(done - self.warmup, 0.0) / (1 - self.warmup), self.peak, self.peak / END_DIVISOR)
        return ops.where(done < self.warmup, rise, fall)

    def get_config(self):
        return {name: getattr(self, name) for name in ("peak", "steps", "warmup")}


def averaging(momentum, steps, least=10):
    """A Keras optimizer's options for averaged weights, `use_ema` and `ema_momentum`.

    An average spans 1 / (1 - momentum) steps, and it begins with the first weights. So the momentum is less where the
    training is shorter than `least` spans.

    Args:
        momentum: in [0, 1); 0 for no averages.
        steps: optimizer steps in all.
        least: spans in a training.

    Example:

    >>> averaging(0.99, 5000), averaging(0.99, 500)
    ({'use_ema': True, 'ema_momentum': 0.99}, {'use_ema': True, 'ema_momentum': 0.98})
    """
    momentum = max(0.0, min(momentum, 1 - least / steps))
    return {"use_ema": momentum > 0, "ema_momentum": momentum}


def _cosine(share, start, end):
    """Half a cosine from `start` (share 0) to `end` (share 1)."""
    return start + (end - start) * (1 - ops.cos(math.pi * share)) / 2
