import math

import keras
import numpy as np
import pytest
from keras import layers

from tfseg import shapes
from tfseg.blocks import DOWN_BLOCKS, UP_BLOCKS
from tfseg.data import resize_example
from tfseg.losses import LOSSES
from tfseg.metrics import ForegroundScores
from tfseg.targets import target_from_trimap
from tfseg.unet import build_unet


@pytest.fixture
def own_blocks(monkeypatch):
    """Blocks that a test registers are gone after it."""
    for registry in (DOWN_BLOCKS, UP_BLOCKS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, "float32")


@pytest.mark.parametrize(
    "down, up, height, width, depth, filters, classes",
    [
        ("maxpool", "transpose", 6, 10, 1, 5, 3),
        ("maxpool", "upsample", 24, 40, 3, 3, 1),
        ("strided", "transpose", 16, 16, 4, 1, 2),
        ("strided", "upsample", 8, 12, 2, 2, 1),
    ],
)
def test_any_pair_of_blocks_at_any_depth_width_and_divisible_size(down, up, height, width, depth, filters, classes):
    model = build_unet((height, width, 3), classes, filters, depth, down, up)
    for level in range(depth):
        expected = (None, height // 2**level, width // 2**level, filters * 2**level)
        for part in ("encoder", "decoder"):
            assert model.get_layer(f"{part}{level + 1}_conv2").output.shape == expected
    bottleneck = model.get_layer("bottleneck_conv2").output.shape
    assert bottleneck == (None, height // 2**depth, width // 2**depth, filters * 2**depth)
    logits = np.asarray(model(noise(2, height, width, 3)))
    assert logits.shape == (2, height, width, classes) and np.isfinite(logits).all()


def test_assembly_against_a_network_worked_out_by_hand():
    """With identity convolutions on channel 0 and 10 on the upsampled one, a U-Net is x + 10 (max2 + 10 max4)."""
    model = build_unet((8, 8, 1), filters=1, depth=2, normalization=None)
    for layer in model.layers:
        if not layer.weights:
            continue
        kernel = np.zeros(layer.kernel.shape)
        if isinstance(layer, layers.Conv2DTranspose):
            kernel[:, :, 0, 0] = 1  # paints the value of channel 0 into all four pixels
        else:
            centre = kernel.shape[0] // 2
            kernel[centre, centre, 0, 0] = 1
            if layer.name.startswith("decoder") and layer.name.endswith("conv1"):
                kernel[centre, centre, layer.filters, 0] = 10  # behind the skip's channels comes what came from below
        layer.set_weights([kernel, np.zeros(layer.bias.shape)])
    image = noise(1, 8, 8, 1)
    largest = {side: image.reshape(8 // side, side, 8 // side, side).max(axis=(1, 3)) for side in (2, 4)}
    painted = {side: np.kron(values, np.ones((side, side))) for side, values in largest.items()}
    expected = image[0, ..., 0] + 10 * (painted[2] + 10 * painted[4])
    assert np.allclose(np.asarray(model(image))[0, ..., 0], expected, rtol=1e-5)


def test_dropout_follows_the_two_deepest_blocks_alone():
    model = build_unet((16, 16, 3), filters=2, depth=3, dropout=0.2)
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)}
    assert rates == {"encoder3_dropout": 0.2, "bottleneck_dropout": 0.2}
    assert model.get_layer("encoder3_dropout").input is model.get_layer("encoder3_conv2_relu").output
    without = build_unet((16, 16, 3), filters=2, depth=3)
    assert not any(isinstance(layer, layers.Dropout) for layer in without.layers)


@pytest.mark.parametrize(
    "normalization, kind", [("group", layers.GroupNormalization), ("layer", layers.GroupNormalization), (None, None)]
)
def test_normalization_is_the_same_everywhere(normalization, kind):
    model = build_unet((8, 8, 3), filters=4, depth=1, down="strided", normalization=normalization)
    names = [layer.name for layer in model.layers if kind and isinstance(layer, kind)]
    convolutions = ["encoder1_conv1", "encoder1_conv2", "down1_strided", "bottleneck_conv1", "bottleneck_conv2"]
    convolutions += ["decoder1_conv1", "decoder1_conv2"]
    assert names == ([f"{name}_norm" for name in convolutions] if kind else [])
    assert all(model.get_layer(name).use_bias is (kind is None) for name in convolutions)


def test_kernels_have_he_initialisation():
    keras.utils.set_random_seed(0)
    model = build_unet((4, 4, 3), filters=64, depth=1, down="strided", up="upsample")
    fan_in = {
        "encoder1_conv2": 9 * 64,
        "down1_strided": 9 * 64,
        "bottleneck_conv1": 9 * 64,
        "bottleneck_conv2": 9 * 128,
        "up1_conv": 9 * 128,
        "decoder1_conv1": 9 * 128,
    }
    for name, count in fan_in.items():
        kernel = np.asarray(model.get_layer(name).kernel)
        deviation = math.sqrt(2 / count)
        assert kernel.std() == pytest.approx(deviation, rel=0.02), name
        assert abs(kernel.mean()) < 0.02 * deviation, name
        # a normal distribution cut off at two deviations has 0.8796 of its deviation left, for which he_normal makes up
        assert 0.98 < np.abs(kernel).max() / (2 * deviation / 0.87962566) <= 1, name


def parameters_by_hand(filters, depth, down, up):
    """Parameters of a U-Net from RGB to one channel with batch normalization (4 a channel), as a closed form.

    `s1` and `s2` are the sums of f and f**2 over the levels above the bottleneck, f = filters * 2**level.
    """
    s1, s2 = filters * (2**depth - 1), filters**2 * (4**depth - 1) // 3
    bottom = filters * 2**depth
    # level 1: 9 * 3 * f + 9 * f * f; below: 9 * f / 2 * f + 9 * f * f; two normalizations each
    encoder = 27 * filters + 9 * (s2 - filters**2) // 2 + 9 * s2 + 8 * s1
    downs = {"maxpool": 0, "strided": 9 * s2 + 4 * s1}[down]
    bottleneck = 9 * bottom**2 // 2 + 9 * bottom**2 + 8 * bottom
    # from 2f to f channels with bias: 2x2 or 3x3
    ups = {"transpose": 4 * 2 * s2 + s1, "upsample": 9 * 2 * s2 + s1}[up]
    decoder = 9 * 2 * s2 + 9 * s2 + 8 * s1
    return encoder + downs + bottleneck + ups + decoder + filters + 1


@pytest.mark.parametrize(
    "filters, depth, down, up, total",
    [
        (16, 5, "maxpool", "transpose", 7_784_625),
        (16, 5, "strided", "transpose", 8_572_273),
        (16, 5, "strided", "upsample", 9_445_233),
        (64, 4, "maxpool", "transpose", 31_049_409),
    ],
)
def test_parameter_counts(filters, depth, down, up, total):
    assert parameters_by_hand(filters, depth, down, up) == total
    model = build_unet((32, 32, 3), filters=filters, depth=depth, down=down, up=up)
    assert model.count_params() == total


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((120, 128, 3), {}, r"height must be divisible by 2\*\*depth = 16, .* halves it 4 times. Received: height=120"),
        ((128, 100, 3), {"depth": 3}, r"width must be divisible by 2\*\*depth = 8, .* Received: width=100"),
        ((16, None, 3), {"depth": 1}, r"both be known, or neither. Received: input_shape=\(16, None, 3\)"),
        ((16, 16, 3), {"down": "avg"}, "Unknown down block. Choose one of: maxpool, strided. Received: 'avg'"),
        ((16, 16, 3), {"up": "avg"}, "Unknown up block. Choose one of: transpose, upsample. Received: 'avg'"),
    ],
)
def test_other_sizes_and_blocks_are_errors_when_the_model_is_built(shape, options, message):
    with pytest.raises(ValueError, match=message):
        build_unet(shape, **options)


def test_own_blocks_take_one_line_and_work_with_the_others(own_blocks):
    DOWN_BLOCKS.register("average")(lambda x, filters, normalization, name: layers.AveragePooling2D(2, name=name)(x))
    UP_BLOCKS.register("nearest")(lambda x, filters, normalization, name: layers.UpSampling2D(2, name=name)(x))
    for down, up in (("average", "transpose"), ("strided", "nearest")):
        model = build_unet((8, 16, 3), filters=2, depth=2, down=down, up=up)
        assert model(noise(1, 8, 16, 3)).shape == (1, 8, 16, 1)
        kinds = {type(layer) for layer in model.layers}
        assert (layers.AveragePooling2D in kinds, layers.UpSampling2D in kinds) == (down == "average", up == "nearest")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_head_is_float32_under_any_policy(policy):
    keras.config.set_dtype_policy(policy)
    model = build_unet((8, 8, 3), filters=4, depth=1, up="upsample")
    assert {layer.compute_dtype for layer in model.layers[1:-1]} == {keras.config.dtype_policy().compute_dtype}
    assert model.layers[-1].name == "logits" and model.layers[-1].compute_dtype == "float32"
    assert all(variable.dtype == "float32" for variable in model.variables)
    logits = model(noise(2, 8, 8, 3))
    assert logits.dtype == "float32"
    # not a half-precision result that was widened at the end
    rounded = keras.ops.cast(keras.ops.cast(logits, "bfloat16"), "float32")
    assert np.mean(np.asarray(rounded) != np.asarray(logits)) > 0.5


@pytest.mark.parametrize(
    "policy, down, up",
    [
        ("float32", "maxpool", "transpose"),
        ("mixed_bfloat16", "strided", "upsample"),
        ("mixed_float16", "strided", "transpose"),
    ],
)
def test_saved_model_predicts_the_same_without_custom_objects(tmp_path, monkeypatch, disturb, policy, down, up):
    keras.config.set_dtype_policy(policy)
    model = build_unet((16, 8, 3), classes=3, filters=2, depth=2, down=down, up=up, dropout=0.2)
    disturb(model)
    images = noise(2, 16, 8, 3)
    expected = np.asarray(model(images))
    model.save(tmp_path / "model.keras")

    keras.config.set_dtype_policy("float32")
    registered = keras.saving.get_custom_objects()  # none of this project's names may be needed
    for name in list(registered):
        monkeypatch.delitem(registered, name)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [layer.compute_dtype for layer in loaded.layers[1:]] == [layer.compute_dtype for layer in model.layers[1:]]
    assert np.isfinite(expected).all() and np.ptp(expected) > 0.01
    assert np.allclose(np.asarray(loaded(images)), expected, rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def six_images():
    """Six drawn animals, 32x32: float32 images in [0, 1] and binary targets."""
    pairs = [resize_example(example, 32) for example in shapes.examples("train", 6)]
    images = np.stack([image for image, _ in pairs]).astype("float32") / 255
    return images, np.stack([target_from_trimap(trimap, "foreground") for _, trimap in pairs])


@pytest.mark.parametrize(
    "down, up, loss",
    [
        ("maxpool", "transpose", "bce"),
        ("maxpool", "transpose", "dice"),
        ("strided", "transpose", "bce"),
        ("strided", "upsample", "dice"),
    ],
)
def test_every_variant_learns_six_images_by_heart(six_images, down, up, loss):
    keras.utils.set_random_seed(0)
    images, targets = six_images
    model = build_unet((32, 32, 3), filters=8, depth=2, down=down, up=up)
    model.compile(keras.optimizers.Adam(0.01), LOSSES[loss], jit_compile=False)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.8  # in a run this short, the moving statistics have to keep up

    def iou():
        scores = ForegroundScores()
        for truth, logits in zip(targets[..., 0], np.asarray(model(images)), strict=True):
            scores.update(truth, logits[..., 0] > 0)
        return scores.result()["iou"]

    assert iou() < 0.6
    for _ in range(15):
        for _ in range(10):
            model.train_on_batch(images, targets)
        if iou() > 0.9:
            return
    pytest.fail(f"IoU on the training images after 150 steps: {iou()}")
