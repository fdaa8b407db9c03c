import keras
import numpy as np
import pytest
from keras import layers

from tfseg.losses import LOSSES
from tfseg.tutorial import build_tutorial_unet


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_tutorial_unet((16, 32, 3), filters=2)


def test_parameters_of_the_network_in_the_article():
    """3x3 convolutions from i to f channels have 9 i f + f parameters, normalizations 4 f."""
    by_part = {
        "encoder1": (9 * 3 * 32 + 32) + (9 * 32 * 32 + 32) + 4 * 32,  # 10 272
        "encoder2": (9 * 32 * 64 + 64) + (9 * 64 * 64 + 64) + 4 * 64,  # 55 680
        "encoder3": (9 * 64 * 128 + 128) + (9 * 128 * 128 + 128) + 4 * 128,  # 221 952
        "encoder4": (9 * 128 * 256 + 256) + (9 * 256 * 256 + 256) + 4 * 256,  # 886 272
        "encoder5": (9 * 256 * 512 + 512) + (9 * 512 * 512 + 512) + 4 * 512,  # 3 542 016
        "up4": 9 * 512 * 256 + 256,  # 1 179 904
        "decoder4": (9 * 512 * 256 + 256) + (9 * 256 * 256 + 256),  # 1 769 984
        "up3": 9 * 256 * 128 + 128,  # 295 040
        "decoder3": (9 * 256 * 128 + 128) + (9 * 128 * 128 + 128),  # 442 624
        "up2": 9 * 128 * 64 + 64,  # 73 792
        "decoder2": (9 * 128 * 64 + 64) + (9 * 64 * 64 + 64),  # 110 720
        "up1": 9 * 64 * 32 + 32,  # 18 464
        "decoder1": (9 * 64 * 32 + 32) + (9 * 32 * 32 + 32),  # 27 712
        "head": 9 * 32 * 32 + 32,  # 9 248
        "logits": 32 * 3 + 3,  # 99
    }
    model = build_tutorial_unet((32, 32, 3))
    for part, count in by_part.items():
        of_part = [layer.count_params() for layer in model.layers if layer.name.split("_")[0] == part]
        assert sum(of_part) == count, part
    assert model.count_params() == sum(by_part.values()) == 8_643_779


def test_normalization_never_sees_the_batch(model):
    """In training as in prediction it is an affine layer, x / sqrt(1 + 0.001) to begin with."""
    names = ("encoder1_conv2", "encoder1_norm")
    part = keras.Model(model.input, [model.get_layer(name).output for name in names])
    images = 9 * np.random.default_rng(0).random((2, 16, 32, 3), "float32") + 3
    before, after = part(images, training=True)
    assert np.allclose(after, np.asarray(before) / np.sqrt(1.001), atol=1e-5)
    assert np.array_equal(np.asarray(part(images)[1]), np.asarray(after))


def test_dropout_is_in_the_two_deepest_blocks(model):
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)}
    assert rates == {"encoder4_dropout": 0.3, "encoder5_dropout": 0.3}


def test_skips_come_from_before_the_pooling_and_behind_what_comes_from_below(model):
    for level, source in ((1, "encoder1_norm"), (2, "encoder2_norm"), (3, "encoder3_norm"), (4, "encoder4_dropout")):
        inputs = model.get_layer(f"skip{level}").input
        assert inputs[0] is model.get_layer(f"up{level}_transpose").output
        assert inputs[1] is model.get_layer(source).output
        assert model.get_layer(f"down{level}_maxpool").input is inputs[1]


def test_learns_its_three_classes_while_batch_statistics_stay_as_they_were():
    keras.utils.set_random_seed(0)
    model = build_tutorial_unet((16, 16, 3), filters=4)
    model.compile(keras.optimizers.Adam(0.005), LOSSES["bce"], jit_compile=False)
    images = np.random.default_rng(0).random((4, 16, 16, 3), "float32")
    targets = images.argmax(-1)[..., None].astype("uint8")  # which of red, green, blue is brightest
    losses = [float(model.train_on_batch(images, targets)) for _ in range(60)]
    assert losses[0] > 0.9 and losses[-1] < 0.7
    for level in range(1, 6):
        gamma, beta, mean, variance = model.get_layer(f"encoder{level}_norm").get_weights()
        assert np.array_equal(mean, np.zeros_like(mean)) and np.array_equal(variance, np.ones_like(variance))
        assert (gamma != 1).any() and (beta != 0).any()  # scale and offset are trained


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_saved_copy_predicts_the_same_and_in_float32(tmp_path, disturb, policy):
    keras.config.set_dtype_policy(policy)
    model = build_tutorial_unet((16, 16, 3), filters=2, classes=2)
    disturb(model)
    images = np.random.default_rng(0).random((1, 16, 16, 3), "float32")
    expected = np.asarray(model(images))
    assert expected.dtype == "float32" and expected.shape[-1] == 2 and np.isfinite(expected).all()
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.allclose(np.asarray(loaded(images)), expected, rtol=1e-6, atol=1e-6)


def test_as_its_code_runs_today_normalization_learns(model):
    today = build_tutorial_unet((16, 32, 3), filters=2, learn_statistics=True)
    norm = today.get_layer("encoder1_norm")
    today.compile(keras.optimizers.SGD(0.0), LOSSES["bce"], run_eagerly=True)
    images = 9 * np.random.default_rng(0).random((2, 16, 32, 3), "float32") + 3
    part = keras.Model(today.input, today.get_layer("encoder1_conv2").output)
    mean = np.asarray(part(images)).mean((0, 1, 2))
    today.fit(images, np.zeros((2, 16, 32, 1)), verbose=0)
    assert np.asarray(norm.moving_mean) == pytest.approx(0.01 * mean, rel=1e-3)
    assert today.count_params() == model.count_params()
