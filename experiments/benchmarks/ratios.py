"""The benchmark's clock and arithmetic: rates, medians of turns, and the shares that are read off them. Imports nothing
heavy."""

import time
from statistics import median

FLOPS_OF_A_STEP = 3  # forward passes: forward, gradients with respect to inputs, gradients with respect to weights


def rate(step, amount, seconds):
    """Repeats a step for so many seconds, once at least, and returns the amount a second.

    `step` returns when its work is done. `amount` is what one step does: images, or floating-point operations.
    """
    started, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - started < seconds:
        step()
        steps += 1
    return steps * amount / (time.perf_counter() - started)


def summarise(row, forward_flops, ceilings):
    """What follows from a row's turns.

    Args:
        row: dictionary with `precision` and `turns`: images a second by measure, one number a turn.
        forward_flops: floating-point operations of a forward pass of one image; None where no setting that counts them
            could be built.
        ceilings: of the machine's matrix product, floating-point operations a second by precision.

    Returns:
        Dictionary, with what the row's measures allow:
            images_per_second: by measure, the median turn's.
            pipeline_share: what the input pipeline adds to the time of a training step, as a share of the step alone:
                0.02 where each step takes 2 % longer; below 0 where noise exceeds the cost. Turns are compared in
                pairs, which were measured right after one another, and the median pair counts.
            ceiling_share: of the ceiling that training steps reach:
                `images/s of the step alone * 3 * FLOPs of a forward pass of one image / FLOP/s of a matrix product`.
    """
    turns = row["turns"]
    result = {"images_per_second": {measure: median(values) for measure, values in turns.items()}}
    if {"step", "together"} <= turns.keys():
        pairs = zip(turns["step"], turns["together"], strict=True)
        result["pipeline_share"] = median(alone / both - 1 for alone, both in pairs)
    if "step" in turns and row["precision"] in ceilings and forward_flops:
        flops = result["images_per_second"]["step"] * FLOPS_OF_A_STEP * forward_flops
        result["ceiling_share"] = flops / ceilings[row["precision"]]
    return result
