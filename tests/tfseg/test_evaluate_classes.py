"""Scores of class ids, by hand: predictions are the photo's own colour, so that what a model finds is known."""

import keras
import numpy as np
import pytest

from tfseg.classes import Classes
from tfseg.evaluate_classes import evaluate_classes, trivial_class_scores

# Truth, and what is found, of two images of 2 x 2 pixels; 255 is ignored.
TRUTHS = [[[0, 1], [2, 255]], [[0, 0], [1, 1]]]
FOUND = [[[0, 1], [1, 2]], [[0, 1], [1, 1]]]


def reader(channels):
    """A model whose logits say: the class is the photo's first channel, 0, 100 or 200."""
    image = keras.Input((2, 2, 3))
    value = image[..., :1] * (255 / 100)
    if channels == 1:
        return keras.Model(image, value - 0.5)
    return keras.Model(image, keras.ops.concatenate([-10 * keras.ops.abs(value - n) for n in range(channels)], axis=-1))


def examples(as_examples, truths, found):
    photos = [np.repeat(np.array(ids, np.uint8)[..., None] * 100, 3, axis=2) for ids in found]
    return as_examples(*zip(photos, truths, strict=True))


def test_three_classes(as_examples):
    data, classes = examples(as_examples, TRUTHS, FOUND), Classes("abc")
    evaluation = evaluate_classes(reader(3), data, 2, classes)
    scores = evaluation.scores
    # a: 2 hits of 3 in truth, 2 found; b: 3 hits of 3, 5 found; c: 0 hits of 1, none found (one is ignored)
    assert scores["confusion"] == [[2, 1, 0], [0, 3, 0], [0, 1, 0]]
    assert scores["per_class_iou"] == pytest.approx({"a": 2 / 3, "b": 3 / 5, "c": 0})
    assert scores["per_class_dice"] == pytest.approx({"a": 4 / 5, "b": 6 / 8, "c": 0})
    assert scores["iou"] == scores["iou_native"] == pytest.approx((2 / 3 + 3 / 5) / 3)
    assert scores["dice"] == pytest.approx((4 / 5 + 6 / 8) / 3) and scores["pixel_accuracy"] == pytest.approx(5 / 7)
    # the first image: a 1, b 1/2, c 0; the second: a 1/2, b 2/3
    assert evaluation.ious == pytest.approx([(1 + 1 / 2 + 0) / 3, (1 / 2 + 2 / 3) / 2])
    assert scores["per_image_iou"] == pytest.approx(evaluation.ious.mean())
    assert np.array_equal(evaluation.predictions[0], FOUND[0]) and np.array_equal(evaluation.truths[1], TRUTHS[1])


def test_two_classes_are_scored_by_their_foreground(as_examples):
    truths, found = np.minimum(TRUTHS, 1), np.minimum(FOUND, 1)
    truths[0, 1, 1] = 255
    scores = evaluate_classes(reader(1), examples(as_examples, truths, found), 2, Classes("ab")).scores
    # foreground: hits 2 + 2, false 0 + 1, none missed; background: hits 1 + 1, missed 1
    assert scores["iou"] == pytest.approx(4 / 5) and scores["dice"] == pytest.approx(8 / 9)
    assert scores["per_image_iou"] == pytest.approx((1 + 2 / 3) / 2) and scores["pixel_accuracy"] == pytest.approx(
        6 / 7
    )
    assert scores["per_class_iou"] == pytest.approx({"a": 2 / 3, "b": 4 / 5}) and "iou_border_excluded" not in scores


def test_trivial_predictors(as_examples):
    data = examples(as_examples, TRUTHS, FOUND)
    (name, scores), *others = trivial_class_scores(data, 2, Classes("abc")).items()
    assert name == "all_a" and not others  # 3 pixels of a, 3 of b, the first of them; 1 of c
    assert scores["iou"] == pytest.approx((3 / 7) / 3) and scores["pixel_accuracy"] == pytest.approx(3 / 7)
    truths = np.minimum(TRUTHS, 1)
    both = trivial_class_scores(examples(as_examples, truths, FOUND), 2, Classes("ab"))
    assert both["all_foreground"]["iou"] == pytest.approx(5 / 8) and both["all_background"]["iou"] == 0
