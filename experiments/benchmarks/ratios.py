"""The benchmark's clock and arithmetic: rates, medians of turns, and the shares that are read off them. Imports nothing
heavy."""

import time
from statistics import median

FLOPS_OF_A_STEP = 3  # forward passes: forward, gradients with respect to inputs, gradients with respect to weights


def rate(step, amount, seconds):
    """Repeats a step for so many seconds, once at least.

    Args:
        step: function without arguments that returns when its work is done.
        amount: of what a step does: images, or floating-point operations.
        seconds: how long.

    Returns:
        Amount a second.
    """
    started, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - started < seconds:
        step()
        steps += 1
    return steps * amount / (time.perf_counter() - started)


def pipeline_share(step, together):
    """What the input pipeline adds to the time of a training step, as a share of the step alone.

    Turns are compared in pairs, which were measured right after one another, and the median pair counts.

    Args:
        step: images a second of training steps alone, one number a turn.
        together: the same with the input pipeline.

    Returns:
        Float: 0.02 where each step takes 2 % longer; below 0 where noise exceeds the cost.
    """
    return median(alone / both - 1 for alone, both in zip(step, together, strict=False))


def ceiling_share(images_per_second, forward_flops, ceiling):
    """The share of the machine's ceiling that training steps reach.

    Formula: `images/s * 3 * FLOPs of a forward pass of one image / FLOP/s of a matrix product`.

    Args:
        images_per_second: of training steps alone.
        forward_flops: floating-point operations of a forward pass of one image.
        ceiling: of the matrix product in the same precision, floating-point operations a second.
    """
    return images_per_second * FLOPS_OF_A_STEP * forward_flops / ceiling


def summarise(row, ceilings):
    """What follows from a row's turns.

    Args:
        row: dictionary with `precision`, `forward_flops` and `turns`: images a second by measure, one number a turn.
        ceilings: floating-point operations a second by precision.

    Returns:
        Dictionary: `images_per_second` by measure, the median turn's; `pipeline_share` and `ceiling_share`, where the
        row has what they need.
    """
    turns = row["turns"]
    result = {"images_per_second": {measure: median(values) for measure, values in turns.items()}}
    if {"step", "together"} <= turns.keys():
        result["pipeline_share"] = pipeline_share(turns["step"], turns["together"])
    if "step" in turns and row["precision"] in ceilings:
        speed = result["images_per_second"]["step"]
        result["ceiling_share"] = ceiling_share(speed, row["forward_flops"], ceilings[row["precision"]])
    return result
