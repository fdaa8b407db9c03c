import json

import keras
import numpy as np
import pytest

import tfseg
from tfseg import predict, shapes
from tfseg.classes import Classes, remember, voc_colour
from tfseg.evaluate import evaluate, predict_probabilities
from tfseg.predict import WEIGHTS, divisor, load_model, segment, segment_classes
from tfseg.targets import BACKGROUND, TARGETS
from tfseg.unet import build_unet


def constant_model(logits):
    """Gives these logits, `(h, w, channels)`, whatever the photo."""
    logits = np.array(logits, "float32")
    inputs = keras.Input((*logits.shape[:2], 3))
    model = keras.Model(inputs, inputs[..., :1] * 0 + logits)
    model.compile(jit_compile=False)
    return model


def certain(probabilities):
    """Logits of one channel for these probabilities, `(h, w)`."""
    p = np.clip(np.array(probabilities)[..., None], 1e-9, 1 - 1e-9)
    return np.log(p / (1 - p))


def noise(height, width):
    """A photo of smooth blobs with sharp pixels on top, so that it matters how it is resized."""
    rng = np.random.default_rng(height * width)
    blobs = np.kron(rng.random((-(-height // 9), -(-width // 9), 3)), np.ones((9, 9, 1)))[:height, :width]
    return np.uint8(255 * (0.6 * blobs + 0.4 * rng.random((height, width, 3))))


@pytest.fixture(scope="module")
def random_unet(disturb):
    """A function to a small U-Net of some channels whose masks are neither empty nor full."""

    def build(channels):
        keras.utils.set_random_seed(1)
        model = build_unet((32, 32, 3), channels, filters=4, depth=2)
        disturb(model)
        model.compile(jit_compile=False)
        logits = model.predict_on_batch(noise(32, 32)[None] / np.float32(255))
        model.get_layer("logits").bias.assign(-np.median(logits, axis=(0, 1, 2)))
        return model

    return build


@pytest.mark.parametrize("policy, flip", [("foreground", False), ("trimap", True)])
def test_the_mask_is_the_one_that_the_evaluation_scores(random_unet, as_examples, policy, flip):
    """Photos larger and smaller than the model, upright and wide: against its own mask, each has an IoU of 1."""
    model = random_unet(TARGETS[policy])
    for photo in (noise(61, 97), noise(20, 30), noise(1, 1)):
        probability, mask = segment(model, photo, flip)
        assert probability.dtype == np.float32 and mask.dtype == bool
        assert probability.shape == mask.shape == photo.shape[:2]
        assert photo.size == 3 or 0.05 < mask.mean() < 0.95
        trimap = np.where(mask, 1, 2)
        assert evaluate(model, as_examples((photo, trimap)), 32, policy, flip).scores["iou_native"] == 1


def test_probabilities_come_back_bilinear_at_the_photo_s_size():
    """0.6 and 0 at 2 x 2, bilinear to 6 columns."""
    model = constant_model(certain([[0.6, 0], [0.6, 0]]))
    probability, mask = segment(model, noise(4, 6))
    np.testing.assert_allclose(probability, [[0.6, 0.6, 0.4, 0.2, 0, 0]] * 4, atol=1e-6)
    assert np.array_equal(mask, [[1, 1, 0, 0, 0, 0]] * 4)


@pytest.mark.parametrize("threshold, found", [(0, 4), (0.1, 3), (0.5, 2), (1, 0)])
def test_threshold(threshold, found):
    model = constant_model(certain([[0.1, 0.4], [0.6, 0.9]]))
    probability, mask = segment(model, noise(2, 2), threshold=threshold)
    assert np.count_nonzero(mask) == found and np.array_equal(mask, probability > threshold)


def test_three_classes_merge_pet_and_border_against_the_background():
    """Of pet, background, border: .5 .3 .2 and .2 .3 .5 are foreground; .3 .4 .3 is not, since 0.4 is the largest."""
    model = constant_model(np.log([[[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]], [[0.3, 0.4, 0.3], [0.1, 0.8, 0.1]]]))
    probability, mask = segment(model, noise(2, 2))
    np.testing.assert_allclose(probability, [[5 / 8, 5 / 8], [3 / 7, 1 / 9]], rtol=1e-5)
    assert np.array_equal(mask, [[1, 1], [0, 0]])


def test_grey_transparent_and_float_photos_give_the_mask_of_their_rgb(random_unet):
    model, grey = random_unet(1), noise(40, 50)[..., 0]
    rgb = np.repeat(grey[..., None], 3, axis=2)
    expected = segment(model, rgb)[0]
    opaque = np.dstack([rgb, np.full_like(grey, 255)])
    for photo in (grey, grey[..., None], opaque, rgb / 255, grey.astype("uint16") * 257):
        assert np.array_equal(segment(model, photo)[0], expected)


# Any size


@pytest.fixture(scope="module")
def any_size(disturb):
    keras.utils.set_random_seed(1)
    model = build_unet((None, None, 3), 1, filters=4, depth=3, down="strided")
    disturb(model)
    return model


def test_a_model_of_any_size_sees_the_photo_as_it_is(any_size):
    assert divisor(any_size) == 8
    photo = noise(24, 40)
    probability, _ = segment(any_size, photo)
    np.testing.assert_allclose(probability, predict_probabilities(any_size, photo[None] / np.float32(255))[0, ..., 0])


@pytest.mark.parametrize("height, width", [(61, 97), (1, 1), (8, 9)])
def test_sizes_that_its_levels_do_not_divide_are_padded_with_the_last_rows_and_columns(any_size, height, width):
    photo = noise(height, width)
    whole = np.pad(photo, ((0, -height % 8), (0, -width % 8), (0, 0)), "edge")
    expected = segment(any_size, whole)[0][:height, :width]
    np.testing.assert_allclose(segment(any_size, photo)[0], expected, atol=1e-6)


def test_a_size_asked_for_is_the_square_that_the_photo_is_squeezed_to(any_size):
    fixed = build_unet((16, 16, 3), 1, filters=4, depth=3, down="strided")
    fixed.set_weights(any_size.get_weights())
    expected = segment(fixed, noise(30, 50))[0]
    np.testing.assert_allclose(segment(any_size, noise(30, 50), size=16)[0], expected, atol=1e-6)
    any_size.image_size = 16  # as a file remembers it
    np.testing.assert_allclose(segment(any_size, noise(30, 50))[0], expected, atol=1e-6)
    del any_size.image_size
    with pytest.raises(ValueError, match="takes images of 16 x 16 pixels alone. Received: size=32"):
        segment(fixed, noise(30, 50), size=32)


# Classes


def test_classes_are_the_likeliest_at_the_photo_s_size():
    model = constant_model(np.log([[[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.1, 0.6]]]))
    probabilities, ids = segment_classes(model, noise(1, 2))
    np.testing.assert_allclose(probabilities, [[[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.1, 0.6]]], rtol=1e-5)
    assert ids.dtype == np.uint8 and ids.tolist() == [[0, 3]]
    with pytest.raises(ValueError, match="tells 4 classes apart; call segment_classes"):
        segment(model, noise(1, 2))


def test_a_file_remembers_its_classes_and_its_size(tmp_path):
    path = tmp_path / "own.keras"
    build_unet((None, None, 3), 3, filters=2, depth=1).save(path)
    assert tfseg.load_model(path).classes is None
    classes = Classes(("road", "car", "sky"), ((0, 0, 0), (255, 0, 0), (0, 0, 255)))
    remember(path, classes, 64)
    model = tfseg.load_model(path)
    assert model.classes == classes and model.image_size == 64
    assert segment_classes(model, noise(5, 7))[1].shape == (5, 7)
    with pytest.raises(ValueError, match="tells 3 classes apart"):  # these are no trimaps
        segment(model, noise(5, 7))
    assert keras.models.load_model(path).output_shape == (None, None, None, 3)


@pytest.mark.parametrize(
    "names, message",
    [(["a"], "2 to 255 classes. Received: 1"), (["a", "b", "a"], "Received twice: a"), (map(str, range(256)), "256")],
)
def test_classes_that_can_t_be_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        Classes(tuple(names))


def test_colours_are_those_of_pascal_voc():
    first = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]  # of the 2007 challenge's development kit
    assert list(Classes(tuple("abcde")).colours) == first
    assert voc_colour(8) == (64, 0, 0) and voc_colour(20) == (0, 64, 128)


# Loading


def test_a_model_trained_in_mixed_precision_predicts_in_float32(tmp_path, disturb):
    keras.config.set_dtype_policy("mixed_bfloat16")
    trained = build_unet((32, 32, 3), filters=4, depth=2, up="upsample", dropout=0.1)
    disturb(trained)
    trained.compile("adam", "mse")
    trained.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    same = build_unet((32, 32, 3), filters=4, depth=2, up="upsample", dropout=0.1)
    same.set_weights(trained.get_weights())

    model = load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    logits, rounded = same.predict_on_batch(images), trained.predict_on_batch(images)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    np.testing.assert_allclose(model.predict_on_batch(images), logits, atol=1e-5)
    assert np.abs(rounded - logits).max() > 1e-3  # in bfloat16 it would tell


def test_bare_operations_and_nested_models_load(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.layers.Conv2D(4, 3, padding="same"), keras.layers.Conv2D(1, 1)])
    model = keras.Model(inputs, inner(inputs * 2 - 1))
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    images = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    kernels = [w.astype("float32") for w in model.get_weights()]
    padded = np.pad(images[0] * 2 - 1, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))
    expected = (np.einsum("yxcij,ijcf->yxf", windows, kernels[0]) + kernels[1]) @ kernels[2][0, 0] + kernels[3]
    np.testing.assert_allclose(load_model(tmp_path / "model.keras")(images)[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "name, content", [("cut.keras", None), ("a.keras", b"words"), ("a.h5", b"words"), ("a.txt", b"words")]
)
def test_a_file_that_is_no_model_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content or WEIGHTS.read_bytes()[:100_000])
    with pytest.raises(ValueError) as error:
        load_model(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name} is no model that Keras can load (")
    assert "\n" not in str(error.value) and len(str(error.value)) < len(str(tmp_path)) + 300
    assert "such file" not in str(error.value)  # not called missing


@pytest.mark.parametrize(
    "inputs, output, received",
    [
        ((28, 28, 3), keras.layers.Flatten(), "(None, 28, 28, 3) to (None, 2352)"),
        ((8, 8, 3), keras.layers.Conv2D(1, 2, strides=2), "(None, 8, 8, 3) to (None, 4, 4, 1)"),
        ((8, 8, 1), keras.layers.Conv2D(1, 1), "(None, 8, 8, 1) to (None, 8, 8, 1)"),
        ((8, 8, 3), lambda photo: [photo, photo + 1], "(None, 8, 8, 3) to [(None, 8, 8, 3), (None, 8, 8, 3)]"),
    ],
)
def test_a_model_of_another_kind_is_refused(tmp_path, inputs, output, received):
    photo = keras.Input(inputs)
    keras.Model(photo, output(photo)).save(tmp_path / "other.keras")
    with pytest.raises(ValueError) as error:
        load_model(tmp_path / "other.keras")
    assert "other.keras is no model that segments photos" in str(error.value)
    assert str(error.value).endswith(f"Received: {received}")


# The included weights


@pytest.fixture(scope="module")
def included():
    return load_model()


def test_the_included_weights_are_those_of_their_record(included):
    record, model = json.loads(WEIGHTS.with_suffix(".json").read_text()), included
    assert model.count_params() == record["parameters"]
    assert model.input_shape[1:3] == (record["config"]["image_size"],) * 2
    assert record["test"]["iou"] > record["trivial"]["all_foreground"]["iou"]
    assert record["data"]["name"] == record["dataset"] == "oxford_iiit_pet"
    assert WEIGHTS.stat().st_size < 12 * 2**20


DRAWN = {6: (0.8811, 0.2298), 15: (0.8087, 0.4641)}
"""What the included weights say of two animals that `shapes` draws, which are no photos: IoU of the mask, and the mean
probability. Bfloat16 moves it by 0.0015 at most."""


@pytest.mark.parametrize("index", DRAWN)
def test_the_included_weights_find_the_same_animals_as_ever(included, index):
    example = shapes.draw(0, index, "test")
    probability, mask = segment(included, example["image"])
    truth = example["segmentation_mask"][..., 0] != BACKGROUND
    assert ((mask & truth).sum() / (mask | truth).sum(), probability.mean()) == pytest.approx(DRAWN[index], abs=0.004)


def test_included_weights_that_are_not_those_of_their_record_are_refused(tmp_path, monkeypatch):
    build_unet((16, 16, 3), filters=1, depth=1).save(tmp_path / "pets.keras")
    (tmp_path / "pets.json").write_bytes(WEIGHTS.with_suffix(".json").read_bytes())
    load_model(tmp_path / "pets.keras")  # a model of one's own
    monkeypatch.setattr(predict, "WEIGHTS", tmp_path / "pets.keras")
    with pytest.raises(ValueError, match=r"pets\.keras is not the file of its record, pets\.json; restore both"):
        load_model(tmp_path / "pets.keras")
