import keras
import pytest
from keras import layers

from tfseg.flops import count_flops
from tfseg.unet import build_unet


def test_a_convolution_costs_two_operations_a_multiplication():
    inputs = keras.Input((8, 6, 3))
    assert count_flops(keras.Model(inputs, layers.Conv2D(5, 3, padding="same")(inputs))) == 2 * (8 * 6) * 9 * 3 * 5
    # without padding there are 6 x 4 positions, with stride 2 there are 4 x 3
    assert count_flops(keras.Model(inputs, layers.Conv2D(5, 3)(inputs))) == 2 * (6 * 4) * 9 * 3 * 5
    depthwise = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(inputs)
    assert count_flops(keras.Model(inputs, depthwise)) == 2 * (8 * 6) * 9 * 3 * 2
    strided = layers.Conv2D(5, 3, strides=2, padding="same")(inputs)
    assert count_flops(keras.Model(inputs, strided)) == 2 * (4 * 3) * 9 * 3 * 5


def test_a_transposed_convolution_costs_its_kernel_for_each_input_pixel():
    inputs = keras.Input((4, 3, 7))
    outputs = layers.Conv2DTranspose(5, 2, strides=2)(inputs)
    assert count_flops(keras.Model(inputs, outputs)) == 2 * (4 * 3) * 4 * 7 * 5


def test_a_dense_layer_costs_its_kernel_once_or_for_each_position():
    inputs = keras.Input((4, 3, 7))
    flat = layers.Dense(5)(layers.Flatten()(inputs))
    assert count_flops(keras.Model(inputs, flat)) == 2 * (4 * 3 * 7) * 5
    assert count_flops(keras.Model(inputs, layers.Dense(5)(inputs))) == 2 * (4 * 3) * 7 * 5


# 4 x 8 = 32 pixels, 8 of them a level below; 2 and 4 channels; in multiplications:
#   encoder 32 * 9 * 3 * 2 + 32 * 9 * 2 * 2 = 2 880     bottleneck 8 * 9 * 2 * 4 + 8 * 9 * 4 * 4 = 1 728
#   decoder 32 * 9 * 4 * 2 + 32 * 9 * 2 * 2 = 3 456     head 32 * 2 * 1 = 64
#   transpose 8 * 4 * 4 * 2 = 256, or upsample 32 * 9 * 4 * 2 = 2 304; strided 8 * 9 * 2 * 2 = 288
@pytest.mark.parametrize(
    "down, up, multiplications",
    [("maxpool", "transpose", 8_384), ("strided", "transpose", 8_672), ("strided", "upsample", 10_720)],
)
def test_u_net_worked_out_by_hand(down, up, multiplications):
    assert count_flops(build_unet((4, 8, 3), filters=2, depth=1, down=down, up=up)) == 2 * multiplications
