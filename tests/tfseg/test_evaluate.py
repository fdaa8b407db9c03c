import math
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.test_predict import certain, constant_model
from tfseg.evaluate import evaluate, predict_probabilities, trivial_scores

# Three photos of 4 x 4 pixels: part of one is pet, nothing of the next, all of the last.
TRIMAPS = np.array(
    [
        [[1, 1, 3, 2], [1, 1, 3, 2], [3, 3, 3, 2], [2, 2, 2, 2]],
        np.full((4, 4), 2),
        np.full((4, 4), 1),
    ]
)
FOUND = np.array(
    [
        [[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]],
        np.zeros((4, 4)),
        [[0, 0, 1, 1]] * 4,
    ]
)
NAMES = ("iou", "dice", "per_image_iou", "pixel_accuracy", "iou_border_excluded", "iou_native")


def pixel_model(channels, size=4):
    """Reads its prediction off each pixel: red where foreground, or red, green, blue for classes 0, 1, 2."""
    inputs = keras.Input((size, size, 3))
    layer = keras.layers.Conv2D(channels, 1)
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([100 * np.eye(3)[None, None, :, :channels], np.full(channels, -50.0)])
    model.compile(jit_compile=False)
    return model


def red(found):
    """A photo of which `pixel_model(1)` finds these pixels."""
    return np.stack([255 * np.asarray(found), np.full_like(found, 90), np.full_like(found, 30)], axis=-1)


@pytest.fixture(scope="module")
def photos(as_examples):
    return as_examples(*((red(found), trimap) for found, trimap in zip(FOUND, TRIMAPS, strict=True)))


@pytest.fixture(scope="module")
def finder():
    return pixel_model(1)


# Under "foreground", the first photo has tp 5, fp 1, fn 4, tn 6, and off the border tp 4, fp 1, fn 0;
# the second tn 16; the third tp 8, fn 8. Under "pet", the first has tp 4, fp 2, fn 0, tn 10; off the border the same.
@pytest.mark.parametrize(
    "policy, expected, ious",
    [
        ("foreground", [13 / 26, 26 / 39, (1 / 2 + 1 + 1 / 2) / 3, 35 / 48, 12 / 21, 13 / 26], [1 / 2, 1, 1 / 2]),
        ("pet", [12 / 22, 24 / 34, (2 / 3 + 1 + 1 / 2) / 3, 38 / 48, 12 / 21, 12 / 22], [2 / 3, 1, 1 / 2]),
    ],
)
@pytest.mark.parametrize("batch_size", [2, 32])
def test_scores_of_a_known_prediction(photos, finder, policy, expected, ious, batch_size):
    evaluation = evaluate(finder, photos, 4, policy, batch_size=batch_size)
    assert evaluation.scores == pytest.approx(dict(zip(NAMES, expected, strict=True)))
    assert np.allclose(evaluation.ious, ious)


def stack(by_position):
    return np.stack([by_position[n] for n in sorted(by_position)])


def test_returns_what_the_model_saw_and_said_by_position_in_the_dataset(photos, finder):
    evaluation = evaluate(finder, photos, 4, "foreground")
    images, truths, predictions = map(stack, (evaluation.images, evaluation.truths, evaluation.predictions))
    assert images.dtype == np.uint8 and np.array_equal(images, red(FOUND))
    assert predictions.dtype == bool and np.array_equal(predictions, FOUND == 1)
    assert truths.dtype == bool and np.array_equal(truths, TRIMAPS != 2)


def test_of_more_images_than_a_batch_the_best_the_median_and_the_worst_are_returned(as_examples, finder):
    """Of 16 pixels of pet, so many are found; of two that are equal, the first is the better."""
    hits = [3, 16, 9, 0, 5, 12, 0]
    found = [(np.arange(16) < count).reshape(4, 4) for count in hits]
    examples = as_examples(*((red(mask), np.ones((4, 4))) for mask in found))
    evaluation = evaluate(finder, examples, 4, "pet", batch_size=2)
    assert np.allclose(evaluation.ious, np.array(hits) / 16)
    for by_position in (evaluation.images, evaluation.truths, evaluation.predictions):
        assert sorted(by_position) == [1, 4, 6]
    assert all(np.array_equal(evaluation.predictions[n], found[n]) for n in (1, 4, 6))
    assert all(np.array_equal(evaluation.images[n], red(found[n])) for n in (1, 4, 6))
    bare = evaluate(finder, examples, 4, "pet", batch_size=2, pictures=False)
    assert (bare.scores, bare.images, bare.predictions) == (evaluation.scores, {}, {})


def test_memory_does_not_grow_with_the_dataset(monkeypatch):
    """Neither what is read ahead of the model, which TensorFlow holds, nor what is kept, which NumPy holds."""
    monkeypatch.setattr("tfseg.evaluate.PARALLEL_CALLS", 2)
    side, read, ahead = 64, [], []
    signature = {"image": tf.TensorSpec((2, 2, 3), tf.uint8), "segmentation_mask": tf.TensorSpec((2, 2, 1), tf.uint8)}

    class Nothing:
        """Finds nothing, and looks how far the examples, whose grey is their number, are read."""

        def predict_on_batch(self, images):
            ahead.append(read[-1] - round(float(images[-1, 0, 0, 0]) * 255))
            return np.full((len(images), side, side, 1), -9, "float32")

    def peak(count):
        def examples():
            for n in range(count):
                read.append(n)
                yield {"image": np.full((2, 2, 3), n, "uint8"), "segmentation_mask": np.full((2, 2, 1), 2, "uint8")}

        dataset = tf.data.Dataset.from_generator(examples, output_signature=signature)
        tracemalloc.start()
        evaluate(Nothing(), dataset, side, "pet", batch_size=8)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small, large = peak(40), peak(140)
    assert max(ahead) < 32
    assert large - small < 100 * side**2  # a byte for each pixel more; image, truth and prediction have five


SAID = np.array([[0, 2, 2, 1], [0, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]])
"""Three classes predicted for the first photo: pet and border together are FOUND[0]; of 4 pet pixels 3 are right."""


@pytest.mark.parametrize(
    "target, found, expected",
    [  # one photo, at its own size: three of these are the same
        (None, SAID != 1, [5 / 10, 10 / 15, 5 / 10, 11 / 16, 4 / 5, 5 / 10]),
        ("pet", SAID == 0, [3 / 5, 6 / 8, 3 / 5, 14 / 16, 3 / 5, 3 / 5]),
    ],
)
def test_trimap_merges_pet_and_border_or_takes_pet_alone_and_adds_the_three_classes(
    as_examples, target, found, expected
):
    photo = as_examples((255 * np.eye(3)[SAID], TRIMAPS[0]))
    evaluation = evaluate(pixel_model(3), photo, 4, "trimap", target=target)
    assert np.array_equal(evaluation.predictions[0], found)
    assert np.array_equal(evaluation.truths[0], TRIMAPS[0] == 1 if target == "pet" else TRIMAPS[0] != 2)
    classes = evaluation.scores.pop("per_class_iou")
    assert classes == pytest.approx({"pet": 3 / 5, "background": 6 / 11, "border": 1 / 6})
    three = {"mean_class_iou": (3 / 5 + 6 / 11 + 1 / 6) / 3, "three_class_accuracy": 10 / 16}
    assert evaluation.scores == pytest.approx(dict(zip(NAMES, expected, strict=True)) | three)


def test_native_resolution_pools_photos_of_different_sizes(as_examples):
    model = constant_model(certain([[0.9, 0.1], [0.9, 0.1]]))  # the left half of any photo
    whole, left = np.ones((8, 4)), np.full((2, 6), 2)
    left[:, :3] = 3
    photos = as_examples((np.zeros((8, 4, 3)), whole), (np.zeros((2, 6, 3)), left))
    # found are 16 of 32 pixels and 6 of 6; at 2 x 2, 2 of 4 and 2 of 2
    scores = evaluate(model, photos, 2, "foreground").scores
    assert scores["iou_native"] == pytest.approx(22 / 38) and scores["iou"] == pytest.approx(4 / 6)


def test_flip_shows_the_model_the_mirrored_image():
    """A model that answers with the pixel to the left sees, in the mirror, the one to the right."""
    inputs = keras.Input((1, 4, 3))
    layer = keras.layers.Conv2D(1, (1, 3), padding="same", use_bias=False)
    model = keras.Model(inputs, layer(inputs))
    model.compile(jit_compile=False)
    kernel = np.zeros((1, 3, 3, 1))
    kernel[0, 0, 0] = 1
    layer.set_weights([kernel])
    image = np.zeros((1, 1, 4, 3), "float32")
    image[0, 0, 1, 0] = math.log(3)  # sigmoid: 3/4
    assert np.allclose(predict_probabilities(model, image)[0, 0, :, 0], [1 / 2, 1 / 2, 3 / 4, 1 / 2])
    assert np.allclose(predict_probabilities(model, image, flip=True)[0, 0, :, 0], [5 / 8, 1 / 2, 5 / 8, 1 / 2])


def test_probabilities_of_three_classes_are_the_softmax_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = keras.Input((1, 2, 3))
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))  # bfloat16 logits
    model.compile(jit_compile=False)
    logits = np.array([[[[1, 0, 2], [0, 0, 0]]]], "float32")
    probabilities = predict_probabilities(model, logits)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert probabilities.dtype == np.float32 and np.allclose(probabilities, expected, atol=1e-6)


# 9 + 0 + 16 of 48 pixels are foreground, 5 of which lie on the border; 20 of 48 are pet. One photo is without a pet.
@pytest.mark.parametrize(
    "predictor, expected",
    [
        ("all_foreground", [25 / 48, 50 / 73, (9 / 16 + 0 + 1) / 3, 25 / 48, 20 / 43]),
        ("all_background", [0, 0, 1 / 3, 23 / 48, 0]),
    ],
)
def test_trivial_predictors_score_the_share_of_the_foreground_and_nothing(photos, predictor, expected):
    scores = trivial_scores(photos, 4, "foreground")[predictor]
    assert scores == pytest.approx(dict(zip(NAMES[:5], expected, strict=True)))


def test_trivial_predictors_follow_the_policy(photos):
    assert trivial_scores(photos, 4, "pet")["all_foreground"]["iou"] == pytest.approx(20 / 48)
    assert trivial_scores(photos, 4, "trimap") == trivial_scores(photos, 4, "foreground")
    with pytest.raises(ValueError, match=r"see tfseg\.evaluate_classes"):
        trivial_scores(photos, 4, "ids")
