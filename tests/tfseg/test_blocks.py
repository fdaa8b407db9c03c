import keras
import numpy as np
import pytest

from tfseg.blocks import DOWN_BLOCKS, NORMALIZATIONS, UP_BLOCKS, conv_norm_relu


def as_model(block, shape, **arguments):
    inputs = keras.Input(shape)
    return keras.Model(inputs, block(inputs, **arguments))


def run(model, image):
    """The model's output for one image of one channel, `(h, w)`."""
    return np.asarray(model(np.asarray(image, "float32")[None, ..., None]))[0, ..., 0]


def test_maxpool_takes_the_largest_of_each_2x2():
    model = as_model(DOWN_BLOCKS["maxpool"], (4, 4, 1), filters=1, normalization="batch", name="down1")
    image = [[1, 5, -1, -2], [3, 2, -4, -3], [0, 0, 7, 8], [0, 9, 6, 5]]
    assert np.array_equal(run(model, image), [[5, -1], [9, 8]])
    assert model.count_params() == 0


def test_strided_sums_3x3_windows_two_apart_and_rectifies():
    model = as_model(DOWN_BLOCKS["strided"], (4, 4, 1), filters=1, normalization=None, name="down1")
    kernel, bias = np.ones((3, 3, 1, 1)), np.array([-50.0])
    model.get_layer("down1_strided").set_weights([kernel, bias])
    image = np.arange(16).reshape(4, 4)
    # "same" padding of an even size adds one row below and one column to the right, so windows start at 0 and 2:
    # rows 0-2, columns 0-2: 0+1+2+4+5+6+8+9+10 = 45;      columns 2-3: 2+3+6+7+10+11 = 39
    # rows 2-3, columns 0-2: 8+9+10+12+13+14 = 66;         columns 2-3: 10+11+14+15 = 50
    assert np.array_equal(run(model, image), [[0, 0], [16, 0]])  # minus 50, never below 0


def test_transpose_paints_its_kernel_once_for_each_pixel():
    model = as_model(UP_BLOCKS["transpose"], (2, 2, 1), filters=1, normalization="batch", name="up1")
    kernel, bias = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5])
    model.get_layer("up1_transpose").set_weights([kernel[..., None, None], bias])
    image = np.array([[1, 10], [-1, 0]])
    expected = [[1, 2, 10, 20], [3, 4, 30, 40], [-1, -2, 0, 0], [-3, -4, 0, 0]]
    assert np.allclose(run(model, image), np.array(expected) + 0.5)


def test_upsample_interpolates_and_then_convolves():
    model = as_model(UP_BLOCKS["upsample"], (2, 2, 1), filters=1, normalization="batch", name="up1")
    kernel, bias = np.zeros((3, 3, 1, 1)), np.array([0.5])
    kernel[1, 1] = 2  # the centre tap alone: the interpolated image, doubled
    model.get_layer("up1_conv").set_weights([kernel, bias])
    # output pixels lie 1/4 and 3/4 of an input pixel apart from its centre; beyond the outer centres nothing changes
    expected = np.array([[0, 1, 3, 4], [2, 3, 5, 6], [6, 7, 9, 10], [8, 9, 11, 12]])
    assert np.allclose(run(model, [[0, 4], [8, 12]]), 2 * expected + 0.5, atol=1e-5)


def test_conv_norm_relu_convolves_normalizes_rectifies():
    model = as_model(conv_norm_relu, (3, 3, 1), filters=1, name="conv")
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 0] = 1  # each pixel takes its left neighbour
    model.get_layer("conv").set_weights([kernel])
    model.get_layer("conv_norm").set_weights(np.array([[2.0], [1.0], [3.0], [4.0]]))  # gamma, beta, mean, variance
    shifted = np.array([[0, 5, 7], [0, 3, 1], [0, -1, 9]])
    expected = np.maximum(0, (shifted - 3) / np.sqrt(4 + 1e-3) * 2 + 1)
    assert np.allclose(run(model, [[5, 7, 0], [3, 1, 0], [-1, 9, 0]]), expected, atol=1e-5)


@pytest.mark.parametrize("filters, groups", [(1, 1), (37, 1), (48, 24), (96, 32)])
def test_group_normalization_has_at_most_32_groups_that_divide_the_filters(filters, groups):
    assert NORMALIZATIONS["group"](filters, "norm").groups == groups


@pytest.mark.parametrize("normalization, axes", [("group", (1, 2)), ("layer", (1, 2, 3))])
def test_group_and_layer_normalization_use_each_image_alone(normalization, axes):
    """With 4 filters, "group" makes a group of each channel; "layer" takes all channels of an image together."""
    features = np.random.default_rng(0).normal(3, 5, (2, 6, 6, 4)).astype("float32")
    features[1] *= 10
    normalized = np.asarray(NORMALIZATIONS[normalization](4, "norm")(features))
    mean, variance = (getattr(features, name)(axis=axes, keepdims=True) for name in ("mean", "var"))
    assert np.allclose(normalized, (features - mean) / np.sqrt(variance + 1e-3), atol=1e-4)


def test_upsampling_of_unknown_size_is_bilinear_and_compiles():
    """The same weights give what the block of a known size gives, down to a map of one pixel."""
    any_size = as_model(UP_BLOCKS["upsample"], (None, None, 2), filters=3, normalization="batch", name="up1")
    for height, width in ((4, 6), (1, 1)):
        known = as_model(UP_BLOCKS["upsample"], (height, width, 2), filters=3, normalization="batch", name="up1")
        known.set_weights(any_size.get_weights())
        image = np.random.default_rng(height).random((2, height, width, 2), "float32")
        np.testing.assert_allclose(any_size.predict_on_batch(image), known(image), atol=1e-5)
