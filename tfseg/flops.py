"""Counts the arithmetic of a model's convolutions and dense layers, where all but a few percent of its work lies."""

import math

from keras import layers


def count_flops(model):
    """Floating-point operations of one image's forward pass, two per multiply-add.

    A convolution costs `2 * output positions * kernel area * input channels * output channels`; a depthwise one `2 *
    output positions * kernel area * output channels`; a transposed one what a convolution does, with its input
    positions; a dense layer `2 * inputs * outputs`. Other layers, and those inside a layer of one's own, count as
    nothing. A training step costs about three forward passes (forward, and the gradients with respect to inputs and
    weights).

    Args:
        model: a Functional model whose inputs have a known size.

    Returns:
        A whole number.
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2DTranspose):
            positions = math.prod(layer.input.shape[1:3])
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            positions = math.prod(layer.output.shape[1:3])
        elif isinstance(layer, layers.Dense):
            positions = math.prod(layer.input.shape[1:-1])
        else:
            continue
        total += 2 * positions * math.prod(layer.kernel.shape)
    return total
