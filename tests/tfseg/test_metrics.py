import keras
import numpy as np
import pytest

from tfseg.metrics import ClassIoU, ClassScores, ForegroundIoU, ForegroundScores, class_ids, foreground_mask

NAMES = ("iou", "dice", "per_image_iou", "pixel_accuracy", "iou_border_excluded")


def scored(*images):
    """Scores of (truth, prediction) or (truth, prediction, border) triples."""
    scores = ForegroundScores()
    for image in images:
        scores.update(*(np.array(part) for part in image))
    return scores


# The first image has tp 2, fp 1, fn 1, tn 2; the second tp 1, fp 0, fn 3, tn 0; together tp 3, fp 1, fn 4, tn 2.
# On the border ring lie, of the first, the fp and one tp; of the second, two of the fn: left are tp 2, fp 0, fn 2.
FIRST = ([[1, 1, 1], [0, 0, 0]], [[1, 1, 0], [1, 0, 0]], [[1, 0, 0], [1, 0, 0]])
SECOND = ([[1, 1], [1, 1]], [[1, 0], [0, 0]], [[0, 0], [1, 1]])


def test_scores_pool_the_pixels_of_all_images():
    expected = [3 / 8, 6 / 11, (2 / 4 + 1 / 4) / 2, 5 / 10, 2 / 4]
    assert scored(FIRST, SECOND).result() == pytest.approx(dict(zip(NAMES, expected, strict=True)))


@pytest.mark.parametrize(
    "truth, prediction, expected",
    [
        ([[1, 1]], [[1, 1]], [1, 1, 1, 1, 1]),
        ([[1, 0]], [[0, 1]], [0, 0, 0, 0, 0]),
        ([[0, 0]], [[0, 0]], [1, 1, 1, 1, 1]),  # nothing there and nothing found
        ([[0, 0]], [[0, 1]], [0, 0, 0, 0.5, 0]),
        ([[1, 0]], [[0, 0]], [0, 0, 0, 0.5, 0]),
    ],
)
def test_perfect_wrong_and_empty_masks(truth, prediction, expected):
    assert scored((truth, prediction)).result() == dict(zip(NAMES, expected, strict=True))


def test_everything_on_the_border_leaves_an_empty_union():
    assert scored(([[1, 1]], [[0, 1]], [[1, 1]])).result()["iou_border_excluded"] == 1


def test_class_scores_from_one_confusion_matrix():
    scores = ClassScores()
    scores.update(np.array([[0, 0, 1], [1, 2, 2]]), np.array([[0, 1, 1], [1, 2, 0]]))
    scores.update(np.array([[0]]), np.array([[2]]))
    assert np.array_equal(scores.confusion, [[1, 1, 1], [0, 2, 0], [1, 0, 1]])
    # class 0: 1 hit, 3 in truth, 2 predicted: 1/4; class 1: 2, 2, 3: 2/3; class 2: 1, 2, 2: 1/3
    result = scores.result()
    assert result["per_class_iou"] == pytest.approx({"pet": 1 / 4, "background": 2 / 3, "border": 1 / 3})
    assert result["mean_class_iou"] == pytest.approx((1 / 4 + 2 / 3 + 1 / 3) / 3)
    assert result["per_class_dice"] == pytest.approx({"pet": 2 / 5, "background": 4 / 5, "border": 2 / 4})
    assert result["mean_class_dice"] == pytest.approx((2 / 5 + 4 / 5 + 2 / 4) / 3)
    assert result["pixel_accuracy"] == pytest.approx(4 / 7)
    # the first image: 1/3, 2/3, 1/2; of the second 0 and 0, and class 1 does not occur
    assert scores.per_image_iou() == pytest.approx([(1 / 3 + 2 / 3 + 1 / 2) / 3, 0])


def test_a_class_that_neither_occurs_nor_is_predicted_is_left_out_of_the_means():
    scores = ClassScores()
    scores.update(np.array([[0, 1]], "uint8"), np.array([[0, 0]], "uint8"))
    result = scores.result()
    assert result["per_class_iou"] == {"pet": 0.5, "background": 0, "border": None}
    assert result["mean_class_iou"] == 0.25 and result["mean_class_dice"] == pytest.approx((2 / 3 + 0) / 2)


def test_ignored_pixels_do_not_count_and_other_values_are_refused():
    scores = ClassScores(("a", "b"), ignore=255)
    scores.update(np.array([[0, 255, 1, 255]], "uint8"), np.array([[0, 1, 0, 0]], "uint8"))
    assert np.array_equal(scores.confusion, [[1, 0], [1, 0]])
    for truth, prediction, received in (([2], [0], 2), ([0], [2], 2), ([-1], [0], -1)):
        with pytest.raises(ValueError, match=rf"Class ids must lie in \[0, 1\]. Received: {received}"):
            scores.update(truth, prediction)


def test_class_ids_of_one_channel_and_of_several():
    assert np.array_equal(class_ids(np.array([[[0.5], [0.51]]])), [[0, 1]])
    assert np.array_equal(class_ids(np.array([[[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]])), [[1, 2]])


# Truth 0 1 1 2 and one ignored pixel, predicted 0 1 2 2 (and 0): IoU 1/1, 1/2, 1/2 of three classes. Of two in one
# channel, truth 0 1 1 0 against 0 1 0 0: IoU of class 1 is 1/2.
THREE = np.array([[0, 1, 1, 2, 255]], "uint8"), np.array([[0, 1, 2, 2, 0]])
TWO = np.array([[0, 1, 1, 0, 255]], "uint8"), np.array([[0, 1, 0, 0, 1]])


@pytest.mark.parametrize("form", ["(b, h, w)", "(b, h, w, 1)", "one-hot"])
def test_keras_metric_of_classes(form):
    truth, prediction = THREE
    forms = {"(b, h, w)": truth[None], "(b, h, w, 1)": truth[None, ..., None]}
    one_hot = np.concatenate([np.eye(3), np.zeros((253, 3))])[truth][None]
    metric = ClassIoU(3)
    metric.update_state(forms.get(form, one_hot), 5 * np.eye(3, dtype="float32")[prediction][None])
    assert float(metric.result()) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert (copy.classes, copy.ignore) == (3, 255) and float(copy.result()) == 1


def test_keras_metric_of_two_classes_in_one_channel_is_that_of_the_foreground():
    truth, prediction = TWO
    metric = ClassIoU(2)
    metric.update_state(truth[None, ..., None], np.where(prediction == 1, 2.0, -2.0)[None, ..., None])
    assert float(metric.result()) == pytest.approx(1 / 2)


def test_foreground_mask_of_one_channel_lies_above_a_half():
    mask = foreground_mask(np.array([[[0.2], [0.5], [0.51], [1.0]]]))
    assert mask.dtype == bool and np.array_equal(mask, [[False, False, True, True]])


def test_foreground_mask_of_three_channels_is_decided_by_the_largest():
    # pet, background, border; background alone is not the foreground, however large the other two are together
    probabilities = np.array([[[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7]]])
    assert np.array_equal(foreground_mask(probabilities), [[True, False, True]])
    assert np.array_equal(foreground_mask(probabilities, "pet"), [[True, False, False]])


def batches(policy):
    """Three batches of (targets, logits), with an image among them that is empty in truth and prediction."""
    random = np.random.default_rng(1)
    channels = 3 if policy == "trimap" else 1
    for count in (2, 3, 1):
        targets = random.integers(0, 3 if policy == "trimap" else 2, (count, 6, 5, 1), "uint8")
        logits = random.normal(size=(count, 6, 5, channels)).astype("float32")
        if count == 3:
            targets[0] = 1 if policy == "trimap" else 0
            logits[0] = [-1, 1, -1] if policy == "trimap" else -1
        yield targets, logits


@pytest.mark.parametrize("policy", ["foreground", "pet", "trimap"])
def test_keras_metric_equals_the_scores_over_several_batches(policy):
    metric, scores = ForegroundIoU(policy), ForegroundScores()
    for targets, logits in batches(policy):
        metric.update_state(targets, logits)
        for target, logit in zip(targets[..., 0], logits, strict=True):
            if policy == "trimap":
                scores.update(target != 1, logit.argmax(-1) != 1)
            else:
                scores.update(target == 1, logit[..., 0] > 0)
    expected = scores.result()["iou"]
    assert 0.2 < expected < 0.8
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("target, expected", [("foreground", 2 / 4), ("pet", 1 / 2)])
def test_keras_metric_under_trimap_counts_pet_and_border_or_pet_alone(target, expected):
    metric = ForegroundIoU("trimap", target)
    targets = np.array([0, 1, 2, 2, 1], "uint8").reshape(1, 1, 5, 1)  # pet, background, border, border, background
    logits = 5 * np.eye(3, dtype="float32")[[0, 0, 2, 1, 1]].reshape(1, 1, 5, 3)  # pet, pet, border, background twice
    metric.update_state(targets, logits)
    assert float(metric.result()) == expected  # of the first four, 1 and 3 are right; of the pet ones, 1


def test_keras_metric_is_reset_and_an_empty_union_is_1():
    metric = ForegroundIoU()
    zeros, found = np.zeros((1, 2, 2, 1), "uint8"), np.full((1, 2, 2, 1), 3.0)
    metric.update_state(zeros, found)
    assert float(metric.result()) == 0
    metric.reset_state()
    metric.update_state(zeros, -found)
    assert float(metric.result()) == 1


@pytest.mark.parametrize("policy, target", [("pet", "foreground"), ("trimap", "pet")])
def test_keras_metric_survives_its_configuration(policy, target):
    metric = ForegroundIoU(policy, target, name="foreground_iou")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(copy) is ForegroundIoU
    assert (copy.policy, copy.target, copy.name) == (policy, target, "foreground_iou")
    for targets, logits in batches(policy):
        for either in (metric, copy):
            either.update_state(targets, logits)
    assert float(copy.result()) == float(metric.result())
