import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfseg.checks import SegmentationModel
from tfseg.losses import LOSSES, SegmentationLoss
from tfseg.unet import build_unet

LN2, LN3 = math.log(2), math.log(3)

# Two images of 2x2 pixels. Probabilities, where the logit is ln(p / (1 - p)):
#   first   p = 3/4 1/4, y = 1 0    cross-entropy: (-ln 3/4 - ln 3/4 - ln 1/2 - ln 1/2) / 4
#               1/2 1/2      1 0    dice: sum(p y) = 5/4, sum(p^2) = 9/8, sum(y) = 2, so 2 * 5/4 / (25/8) = 4/5
#   second  p = 3/4 3/4, y = 0 0    cross-entropy: (-ln 1/4 - ln 1/4 - ln 3/4 - ln 1/4) / 4
#               3/4 3/4      1 0    dice: sum(p y) = 3/4, sum(p^2) = 9/4, sum(y) = 1, so 2 * 3/4 / (13/4) = 6/13
BINARY_LOGITS = np.array([[[LN3, -LN3], [0, 0]], [[LN3, LN3], [LN3, LN3]]])[..., None]
BINARY_TARGETS = np.array([[[1, 0], [1, 0]], [[0, 0], [1, 0]]], "uint8")[..., None]
BINARY = {
    "bce": [(-2 * math.log(3 / 4) + 2 * LN2) / 4, (3 * 2 * LN2 - math.log(3 / 4)) / 4],
    "dice": [1 / 5, 7 / 13],
}

# Two images of 1x2 pixels and three classes; logits are ln of p times 4, and softmax does not see the 4:
#   first   p = (2 1 1)/4, (1 1 2)/4, y = 0, 1    cross-entropy: (-ln 2/4 - ln 1/4) / 2 = 3/2 ln 2
#           dice of class 0: 2 * 2/4 / (5/16 + 1) = 16/21;  of class 1: 2 * 1/4 / (2/16 + 1) = 4/9;  of class 2: 0
#   second  p = (1 2 1)/4, (1 1 2)/4, y = 2, 2    cross-entropy: (-ln 1/4 - ln 2/4) / 2 = 3/2 ln 2
#           dice of classes 0 and 1: 0;  of class 2: 2 * 3/4 / (5/16 + 2) = 24/37
CLASS_LOGITS = np.log([[[[2, 1, 1], [1, 1, 2]]], [[[1, 2, 1], [1, 1, 2]]]])
CLASS_TARGETS = np.array([[[[0], [1]]], [[[2], [2]]]], "uint8")
CLASSES = {"bce": [1.5 * LN2, 1.5 * LN2], "dice": [1 - (16 / 21 + 4 / 9) / 3, 1 - 24 / 37 / 3]}

for expected in (BINARY, CLASSES):
    expected["bce_dice"] = [sum(pair) for pair in zip(expected["bce"], expected["dice"], strict=True)]

CASES = [
    pytest.param(name, targets, logits, expected[name], id=f"{name}-{kind}")
    for kind, targets, logits, expected in (
        ("binary", BINARY_TARGETS, BINARY_LOGITS, BINARY),
        ("three classes", CLASS_TARGETS, CLASS_LOGITS, CLASSES),
    )
    for name in ("bce", "dice", "bce_dice")
]


def value_and_gradient(name, targets, logits):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = LOSSES[name](targets, logits)
    return np.asarray(value), np.asarray(tape.gradient(value, logits))


@pytest.mark.parametrize("name, targets, logits, expected", CASES)
def test_one_value_an_image_as_worked_out_by_hand(name, targets, logits, expected):
    value = LOSSES[name](targets, logits.astype("float32"))
    assert value.shape == (2,) and value.dtype == "float32"
    assert np.allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name, targets, logits, expected", CASES)
def test_half_precision_logits_give_a_float32_loss(name, targets, logits, expected, dtype):
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    value = LOSSES[name](targets, tf.cast(logits, dtype))
    assert value.dtype == "float32"
    assert np.allclose(value, expected, rtol=1e-2)  # what rounding the logits costs


@pytest.mark.parametrize("classes, expected", [(1, {"bce": LN2, "dice": 1 / 5}), (3, {"bce": LN3, "dice": 4 / 5})])
def test_sums_over_a_large_image_are_in_float32(classes, expected):
    """512 x 512 ones are more than float16 can hold (65 504), and more than bfloat16 can count (256)."""
    # Logits of 0 everywhere: p = 1/2, all foreground: dice = 2 * 1/2 / (1/4 + 1) = 4/5.
    # Three classes: p = 1/3, all of class 1: its dice = 2 * 1/3 / (1/9 + 1) = 3/5, the others' is 0.
    targets = np.ones((1, 512, 512, 1), "uint8")
    for dtype in ("float16", "bfloat16"):
        logits = tf.zeros((1, 512, 512, classes), dtype)
        for name in ("bce", "dice"):
            assert np.allclose(LOSSES[name](targets, logits), expected[name], rtol=1e-3)


@pytest.mark.parametrize(
    "name, channels, target, logit",
    [
        ("bce", 1, 0, 100.0),
        ("bce", 3, 1, -100.0),
        ("dice", 1, 0, -100.0),
        ("dice", 3, 1, 100.0),
        ("bce_dice", 1, 1, 0.0),
        ("bce_dice", 3, 0, 100.0),
    ],
)
def test_finite_for_empty_and_full_masks_and_extreme_logits(name, channels, target, logit):
    targets = np.full((2, 4, 4, 1), target, "uint8")
    logits = np.zeros((2, 4, 4, channels), "float32")
    logits[..., 0] = logit
    value, gradient = value_and_gradient(name, targets, logits)
    assert np.isfinite(value).all() and (value >= 0).all()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "logit, target, bce, dice",
    [
        (100.0, 1, 0, 0),  # right
        (-100.0, 0, 0, 1),  # right, and nothing there: sums are 0, and so is the coefficient
        (-100.0, 1, 100, 1),  # wrong: -ln sigmoid(-100) = 100
        (100.0, 0, 100, 1),
    ],
)
def test_extreme_binary_logits_by_value(logit, target, bce, dice):
    targets, logits = np.full((1, 4, 4, 1), target, "uint8"), np.full((1, 4, 4, 1), logit, "float32")
    expected = {"bce": bce, "dice": dice, "bce_dice": bce + dice}
    for name, value in expected.items():
        assert np.allclose(LOSSES[name](targets, logits), value, atol=1e-5), name


def test_gradient_of_cross_entropy_is_prediction_minus_target_even_where_it_is_most_wrong():
    logits = np.array([100.0, -100.0, LN3, 0.0], "float32").reshape(1, 2, 2, 1)
    targets = np.array([0, 1, 1, 0], "uint8").reshape(1, 2, 2, 1)
    _, gradient = value_and_gradient("bce", targets, logits)
    assert np.allclose(gradient.ravel(), np.array([1, -1, 3 / 4 - 1, 1 / 2]) / 4, atol=1e-6)


def test_gradient_of_dice_points_from_the_mask():
    """It lowers the loss where the mask is, and nowhere else: d/dp (1 - 2 I / S) = -2 y / S + 4 I p / S**2."""
    logits = np.zeros((1, 2, 2, 1), "float32")
    targets = np.array([1, 0, 0, 0], "uint8").reshape(1, 2, 2, 1)
    _, gradient = value_and_gradient("dice", targets, logits)
    # I = 1/2, S = 4/4 + 1, dp/dlogit = 1/4
    expected = (np.array([-2 / 2, 0, 0, 0]) + 4 * 0.5 * 0.5 / 4) / 4
    assert np.allclose(gradient.ravel(), expected, atol=1e-6)


# Forms of masks, and the ignore value

EYE = np.eye(3, dtype="float32")


@pytest.mark.parametrize(
    "channels, form",
    [(1, "(b, h, w)"), (1, "(b, h, w, 1)"), (3, "(b, h, w)"), (3, "(b, h, w, 1)"), (3, "one-hot")],
)
def test_a_compiled_model_takes_every_form_and_ignores(channels, form):
    """With an identity convolution, the model's loss is that of its input; two more columns are ignored."""
    targets, logits = (BINARY_TARGETS, BINARY_LOGITS) if channels == 1 else (CLASS_TARGETS, CLASS_LOGITS)
    wide = np.pad(targets, ((0, 0), (0, 0), (0, 2), (0, 0)), constant_values=255)
    forms = {"(b, h, w)": wide[..., 0], "(b, h, w, 1)": wide}
    masks = forms[form] if form in forms else np.concatenate([EYE, np.zeros((253, 3), "float32")])[wide[..., 0]]
    images = np.pad(logits, ((0, 0), (0, 0), (0, 2), (0, 0)), constant_values=3).astype("float32")
    inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, keras.layers.Conv2D(channels, 1)(inputs))
    model.layers[-1].set_weights([np.eye(channels)[None, None], np.zeros(channels)])
    expected = (BINARY if channels == 1 else CLASSES)["bce_dice"]
    model.compile("sgd", SegmentationLoss("bce_dice"), jit_compile=False)
    assert model.test_on_batch(images, masks) == pytest.approx(np.mean(expected), rel=1e-5)


def test_a_loss_with_an_ignore_value_survives_its_configuration():
    loss = SegmentationLoss("dice", ignore=7)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert (copy.loss, copy.ignore) == ("dice", 7)
    assert float(copy(np.array([[[1, 7]]]), np.array([[[9.0, 9.0]]]))) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", list(LOSSES))
def test_an_image_of_nothing_but_ignored_pixels_has_no_gradient(name):
    logits = tf.constant(CLASS_LOGITS[:1], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = SegmentationLoss(name)(np.full((1, 1, 2), 255), logits)
    assert np.isfinite(value) and not np.any(tape.gradient(value, logits))


# What would train on nonsense

WRONG = [
    pytest.param(1, 255 * BINARY_TARGETS, "for one output channel must lie in .*divide masks of 0 and 255", id="0/255"),
    pytest.param(1, BINARY_TARGETS - np.float32(2), "must lie in .* Received: -2", id="negative"),
    pytest.param(3, CLASS_TARGETS + 1, "whole numbers from 0 to 2, since the model has 3 .* Received: 3", id="ids"),
    pytest.param(3, CLASS_TARGETS / 255, "Class ids must be whole numbers .* Received: 0.00", id="fractions"),
    pytest.param(3, EYE[CLASS_TARGETS[..., 0]] * 255, "one-hot mask must .* sum to 1.* Received: 255", id="one-hot"),
]


@pytest.mark.parametrize("channels, masks, message", WRONG)
def test_values_that_are_no_mask_are_refused_by_the_loss_and_in_training(channels, masks, message):
    logits = (BINARY_LOGITS if channels == 1 else CLASS_LOGITS).astype("float32")
    for name in LOSSES:
        with pytest.raises(ValueError, match=message):
            LOSSES[name](masks, logits)
    side = max(masks.shape[1:3])
    masks = np.resize(masks, (2, side, side, masks.shape[-1]))
    photo = keras.Input((side, side, 3))
    model = SegmentationModel(photo, keras.layers.Conv2D(channels, 1)(photo))
    model.compile("sgd", LOSSES["bce_dice"])
    with pytest.raises(ValueError, match=message) as error:
        model.fit(np.zeros((2, side, side, 3), "float32"), masks, verbose=0)
    assert "\n" not in str(error.value)


def test_where_nothing_can_stop_the_step_the_loss_is_no_number():
    """XLA leaves TensorFlow's checks out."""
    compiled = tf.function(LOSSES["bce"], jit_compile=True)
    logits = tf.constant(BINARY_LOGITS, tf.float32)
    assert np.allclose(compiled(tf.constant(BINARY_TARGETS), logits), BINARY["bce"], rtol=1e-5)
    assert np.isnan(compiled(tf.constant(255 * BINARY_TARGETS), logits)).all()


@pytest.mark.parametrize("shape", [(2, 2), (2, 3, 2, 1), (2, 2, 2, 2)])
def test_masks_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"Masks must be \(batch, height, width\).* Received: masks \(2, "):
        LOSSES["dice"](np.zeros(shape), BINARY_LOGITS.astype("float32"))


def test_images_of_bytes_are_refused():
    model = build_unet((2, 2, 3), filters=2, depth=1)
    model.compile("sgd", LOSSES["bce"])
    images, masks = np.zeros((1, 2, 2, 3), "uint8"), np.zeros((1, 2, 2, 1), "uint8")
    for use in (lambda: model(images), lambda: model.predict(images, verbose=0), lambda: model.fit(images, masks)):
        with pytest.raises(ValueError, match=r"^Images must be floats in \[0, 1\]; divide bytes by 255. .* uint8$"):
            use()
