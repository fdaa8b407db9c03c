import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tfseg.checks import SegmentationModel
from tfseg.data import TrainingData, _random_boxes, augment, evaluation_data, resize_example
from tfseg.losses import LOSSES
from tfseg.targets import BACKGROUND, TARGETS, target_from_trimap

PET_ON_THE_LEFT = np.full((40, 40), 2, "uint8")
PET_ON_THE_LEFT[8:33, 2:24] = 3
PET_ON_THE_LEFT[12:29, 7:19] = 1


def seed(number):
    return tf.constant([number, 0])


def batch(*trimaps):
    """Grey images, of brightness 0 for background, 80 for border and 160 for pet, and the trimaps `(n, h, w, 1)`."""
    trimaps = np.stack(trimaps)[..., None].astype("uint8")
    return np.array([0, 160, 0, 80], "uint8")[trimaps].repeat(3, axis=-1), trimaps


def away_from_edges(trimap, pixels):
    """Where all trimap values within so many pixels are the same, `(h, w)`; beyond the picture's edge they are not."""
    size = 2 * pixels + 1
    return ndimage.maximum_filter(trimap, size) == ndimage.minimum_filter(trimap, size, mode="constant", cval=0)


@pytest.fixture(scope="module")
def twelve(as_examples):
    """Twelve examples of 10 x 10 pixels; number n is grey 20 n, and pet, background or border throughout in turn."""
    return as_examples(*((np.full((10, 10, 3), 20 * n), np.full((10, 10), n % 3 + 1)) for n in range(12)))


def numbers(images):
    """Which of the `twelve` these are, from their centres; slightly augmented images are known, too."""
    return np.round(np.asarray(images)[:, 4, 4, 0] * 255 / 20).astype(int).tolist()


def read(batches):
    """All batches: list of image numbers of each, images `(n, h, w, 3)`, targets `(n, h, w, 1)`."""
    pairs = list(batches.as_numpy_iterator())
    images, targets = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return [numbers(images) for images, _ in pairs], images, targets


@pytest.mark.parametrize(
    "policy, expected", [("foreground", [1, 0, 1, 0]), ("pet", [1, 0, 0, 0]), ("trimap", [0, 1, 2, 1])]
)
def test_target_policies_by_value(policy, expected):
    for trimap in (np.array([[1, 2, 3, 2]], "uint8"), tf.constant([[1, 2, 3, 2]], tf.uint8)):
        target = target_from_trimap(trimap, policy)
        assert target.dtype == tf.uint8 and np.array_equal(target, [expected])
    assert max(expected) == max(TARGETS[policy] - 1, 1)  # as many classes as the model has channels for


def test_resizing_takes_the_nearest_trimap_value_and_an_antialiased_image():
    trimap = np.array([[1, 2, 3, 1], [2, 3, 1, 2], [3, 1, 2, 3], [1, 1, 2, 2]], "uint8")
    image = np.tile(np.array([0, 0, 255, 255], "uint8")[None, :, None], (4, 1, 3))
    small, mask = resize_example({"image": image, "segmentation_mask": trimap[..., None]}, 2)
    assert mask.dtype == tf.uint8 and np.array_equal(mask[..., 0], [[3, 2], [1, 2]])  # odd rows and columns
    # A triangle two pixels wide around x = 1 weighs columns 0 to 2 with 3/4, 3/4, 1/4: 255 / 7 = 36.4, and mirrored.
    assert small.dtype == tf.uint8 and np.array_equal(small, np.tile([[[36], [219]]], (2, 1, 3)))


@pytest.mark.parametrize("stored, size", [(40, 32), (33, 48)])
def test_augmented_masks_hold_exactly_the_three_classes_and_images_stay_in_range(stored, size):
    random = np.random.default_rng(0)
    trimaps = random.integers(1, 4, (32, stored, stored, 1), "uint8")
    images = random.integers(0, 256, (32, stored, stored, 3), "uint8")
    for strength in (0.0, 1.0, 4.0):
        for number in range(2):
            out, masks = augment(images, trimaps, seed(number), size, strength)
            assert out.shape == (32, size, size, 3) and out.dtype == tf.float32
            assert masks.shape == (32, size, size, 1) and masks.dtype == tf.uint8
            assert set(np.unique(masks)) == {1, 2, 3}
            assert np.min(out) >= 0 and np.max(out) <= 1


def test_augmented_image_and_mask_show_the_same_window_and_the_same_side():
    """Recolouring maps each grey to one other and keeps their order; black around the image is background."""
    images, trimaps = batch(*[PET_ON_THE_LEFT] * 64)
    images, masks = augment(images, trimaps, seed(5), 32)
    mirrored = 0
    for image, mask in zip(np.asarray(images), np.asarray(masks)[..., 0], strict=True):
        certain = away_from_edges(mask, 2)
        greys = [image[certain & (mask == value)] for value in (2, 3, 1)]
        assert all(np.ptp(grey) < 1e-3 for grey in greys if grey.size)
        means = [grey.mean() for grey in greys if grey.size]
        assert len(means) >= 2 and (np.diff(means) > 0.1).all()
        columns = np.nonzero(mask != BACKGROUND)[1]
        mirrored += columns.mean() > 15.5
    assert 16 < mirrored < 48


@pytest.mark.parametrize("size", [24, 384])
def test_rounding_never_pushes_the_last_row_out_of_the_image(size):
    """At these sizes (size - 1) * ((stored - 1) / (size - 1)) exceeds stored - 1 in float32."""
    images, trimaps = batch(*[np.ones((size * 5 // 4, size * 5 // 4))] * 4)
    images, masks = augment(images, trimaps, seed(0), size, strength=0)  # mirrored or not
    assert (np.asarray(images) > 0.6).all() and (np.asarray(masks) == 1).all()


def test_windows_have_the_sides_positions_and_flips_that_are_documented():
    y1, x1, y2, x2 = np.asarray(_random_boxes(4000, seed(3), 1.0), float).T
    flipped = x1 > x2
    assert 0.47 < flipped.mean() < 0.53
    x1, x2 = np.minimum(x1, x2), np.maximum(x1, x2)
    height, width = y2 - y1, x2 - x1
    side, aspect = np.sqrt(height * width), height / width
    assert 0.685 < side.min() < 0.70 and 1.09 < side.max() < 1.10
    assert 0.83 < aspect.min() < 0.84 and 1.19 < aspect.max() < 1.201
    for low, high in ((y1, y2), (x1, x2)):  # within the image, or around all of it
        small = high - low < 1
        assert (low[small] >= 0).all() and (high[small] <= 1 + 1e-6).all()
        assert (low[~small] <= 0).all() and (high[~small] >= 1 - 1e-6).all()
        assert low[small].std() > 0.05


def test_strength_0_only_resizes():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4, 13, 13, 3), "uint8")
    trimaps = random.integers(1, 4, (4, 13, 13, 1), "uint8")
    for size, step in ((13, 1), (7, 2)):  # corners stay corners: 7 samples are every other one of 13
        for number in range(3):
            out, masks = augment(images, trimaps, seed(number), size, strength=0)
            assert np.allclose(out, images[:, ::step, ::step] / 255, atol=1e-4)
            assert np.array_equal(masks, trimaps[:, ::step, ::step])


def test_recolouring_of_grey_images_is_a_shift_within_its_bounds():
    """One grey has no contrast and no saturation, so only brightness shows: 0.2 +- 0.6 * 0.25 at strength 1."""
    images, trimaps = np.full((500, 4, 4, 3), 51, "uint8"), np.ones((500, 4, 4, 1), "uint8")
    out, masks = map(np.asarray, augment(images, trimaps, seed(0), 4))
    shifted = out[(masks == 1).all(axis=(1, 2, 3))]  # nothing but grey in sight
    assert len(shifted) > 250 and np.ptp(shifted, axis=(1, 2, 3)).max() < 1e-6
    assert 0.05 - 1e-6 <= shifted.min() < 0.06 and 0.34 < shifted.max() <= 0.35 + 1e-6
    assert abs(shifted.mean() - 0.2) < 0.01


def test_an_epoch_shows_every_image_once_and_is_the_same_for_the_same_seed(twelve):
    def data(number):
        return TrainingData(twelve, 8, 4, "trimap", number, augmentation=1e-3)

    first = data(3)
    order, images, targets = read(first.epoch(5))
    assert [len(part) for part in order] == [4, 4, 4] and first.steps == 3
    order = sum(order, [])
    assert sorted(order) == list(range(12)) and order != list(range(12))
    assert images.shape == (12, 8, 8, 3) and images.dtype == np.float32
    assert targets.shape == (12, 8, 8, 1) and targets.dtype == np.uint8
    assert np.array_equal(targets[:, 4, 4, 0], np.array(order) % 3)  # each image has its own trimap

    twice = first.epoch(5)  # as `fit` reads it outside TensorFlow: a batch to build the model, then all
    assert next(iter(twice))
    _, *again = read(twice)
    _, *resumed = read(data(3).epoch(5))  # without the epochs before
    for other in (again, resumed):
        assert all(np.array_equal(*pair) for pair in zip((images, targets), other, strict=True))
    for other in (first.epoch(6), data(4).epoch(5)):
        assert sum(read(other)[0], []) != order


def test_epochs_steps_and_seeds_augment_differently(as_examples):
    """Two photos that are the same, in batches of one: every time they are shown, they and their masks differ."""
    trimap = np.random.default_rng(0).integers(1, 4, (40, 40))
    photo = (batch(trimap)[0][0], trimap)
    examples = as_examples(photo, photo)
    shown = []
    for number in (0, 1):
        data = TrainingData(examples, 32, 1, "trimap", number)
        shown += [part.tobytes() for epoch in (0, 1) for pair in data.epoch(epoch).as_numpy_iterator() for part in pair]
    assert len(shown) == len(set(shown)) == 16


def test_the_last_incomplete_batch_is_dropped(twelve):
    data = TrainingData(twelve, 8, 5, "foreground", augmentation=0)
    order, _, targets = read(data.epoch(0))
    assert [len(part) for part in order] == [5, 5] and data.steps == 2
    order = sum(order, [])
    assert len(set(order)) == 10
    assert np.array_equal(targets[:, 0, 0, 0], np.array(order) % 3 != 1)
    left_out = {tuple(set(range(12)) - set(sum(read(data.epoch(n))[0], []))) for n in range(4)}
    assert len(left_out) > 1  # not always the same two


def test_a_dataset_smaller_than_a_batch_is_one_batch(twelve):
    data = TrainingData(twelve.take(3), 8, 32, "pet", augmentation=0)
    (order,), _, targets = read(data.epoch(0))
    assert sorted(order) == [0, 1, 2] and (data.batch_size, data.steps) == (3, 1)
    assert np.array_equal(targets[:, 0, 0, 0], np.array(order) % 3 == 0)


@pytest.mark.parametrize("strength", [0, 1e-3])
def test_the_first_epochs_can_have_half_the_size(as_examples, strength):
    left = np.arange(16)[None, :] < 8
    examples = as_examples((np.where(left[..., None], 200, 40) * np.ones((16, 16, 3)), np.where(left, 1, 2)[[0] * 16]))
    data = TrainingData(examples, 16, 1, "foreground", augmentation=strength, half_size_epochs=2)
    for epoch, side in enumerate((8, 8, 16)):
        ((image, mask),) = data.epoch(epoch).as_numpy_iterator()
        assert image.shape == (1, side, side, 3) and mask.shape == (1, side, side, 1)
        mirrored = image[0, 0, 0, 0] < 0.5  # by augmentation
        columns = slice(side // 2 + 1, None) if mirrored else slice(0, side // 2 - 1)  # off the edge in the middle
        assert np.all(mask[:, :, columns] == 1) and np.allclose(image[:, :, columns], 200 / 255, atol=0.02)
        assert mask.mean() == pytest.approx(0.5, abs=1 / side)


def test_training_data_needs_to_know_how_many_there_are(twelve):
    unknown = "The number of examples is not known, as of a generator; tell it: examples = .*assert_cardinality"
    generated = twelve.filter(lambda _: True)
    problems = [(generated, unknown), (twelve.take(0), "Received: a dataset that is empty")]
    for examples, message in [*problems, (twelve.repeat(), "Received: a dataset that is without an end")]:
        with pytest.raises(ValueError, match=message):
            TrainingData(examples, 8, 4, "foreground")
    told = generated.apply(tf.data.experimental.assert_cardinality(12))  # as the message says
    assert TrainingData(told, 8, 4, "foreground").steps == 3


@pytest.mark.parametrize(
    "policy, values, message",
    [
        ("foreground", [0, 255], r"Trimaps hold 1 \(pet\).*policy ids takes.* \[1, 3\]. Received: 0"),
        ("trimap", [1, 4], r"must lie in \[1, 3\]. Received: 4"),
        ("ids", [0, 300], r"Class ids must lie in \[0, 255\]. Received: 300"),
    ],
)
def test_masks_of_another_kind_are_told_in_one_line(policy, values, message):
    mask = tf.constant([[values] * 8] * 3, tf.int32)
    examples = tf.data.Dataset.from_tensors({"image": tf.zeros((8, 2, 3), tf.uint8), "segmentation_mask": mask[0]})
    photo = keras.Input((8, 8, 3))
    model = SegmentationModel(photo, keras.layers.Conv2D(1, 1)(photo))
    model.compile("sgd", LOSSES["bce"])
    for data in (TrainingData(examples, 8, 1, policy).epoch(0), evaluation_data(examples, 8, 1, policy)):
        with pytest.raises(ValueError, match=message) as error:
            model.fit(data, verbose=0)
        assert "\n" not in str(error.value)


def test_examples_of_another_kind_are_refused_at_once():
    floats, mask = tf.zeros((8, 8, 3)), tf.zeros((8, 8, 1), tf.uint8)
    for example, message in (
        ({"image": floats}, "must be dictionaries with image and segmentation_mask"),
        ({"image": floats, "segmentation_mask": mask}, "must be uint8 .* Received: images of type float32"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainingData(tf.data.Dataset.from_tensors(example), 8, 1, "ids")


def test_class_ids_are_targets_as_they_are_and_ignored_outside_the_photo():
    """Grey photos and masks without a last axis come in too; the window is up to 1.1 times as large as the photo."""
    mask = np.full((8, 8), 7, "uint8")
    examples = tf.data.Dataset.from_tensors({"image": np.full((8, 8, 1), 200, "uint8"), "segmentation_mask": mask})
    images, targets = next(iter(evaluation_data(examples, 4, 1, "ids")))
    assert images.shape == (1, 4, 4, 3) and np.allclose(images, 200 / 255) and (np.asarray(targets) == 7).all()
    data = TrainingData(examples, 32, 1, "ids", augmentation=3.0)
    outside = 0
    for epoch in range(8):
        ((images, targets),) = data.epoch(epoch)
        values = np.asarray(targets)
        assert set(np.unique(values)) <= {7, 255}
        outside += np.count_nonzero(values == 255)
    assert outside > 0


def test_augmented_training_images_are_cut_from_larger_ones(as_examples):
    """They are stored at 5/4 of the training size: a pattern too fine for 8 pixels is still there in 10."""
    stripes = np.tile(np.array([0, 255], "uint8")[None, :, None], (10, 5, 3))
    examples = as_examples((stripes, np.ones((10, 10))))
    (_, plain, _), (_, augmented, _) = (
        read(TrainingData(examples, 8, 1, "pet", augmentation=strength).epoch(0)) for strength in (0, 1e-3)
    )
    assert np.ptp(augmented) > 0.9 > np.ptp(plain)


def test_evaluation_data_keeps_the_order_and_all_images(twelve):
    order, images, targets = read(evaluation_data(twelve.take(5), 6, 2, "trimap"))
    assert order == [[0, 1], [2, 3], [4]]
    assert images.dtype == np.float32 and np.allclose(images[3], 60 / 255)
    assert targets.shape == (5, 6, 6, 1) and targets[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1]


# Caches


@pytest.fixture
def counted():
    """Twelve examples as `twelve`, and a list that grows by one for each that is read."""
    read_so_far = []

    def examples():
        for n in range(12):
            read_so_far.append(n)
            trimap = np.full((10, 10, 1), n % 3 + 1, "uint8")
            yield {"image": np.full((10, 10, 3), 20 * n, "uint8"), "segmentation_mask": trimap}

    signature = {
        "image": tf.TensorSpec((10, 10, 3), tf.uint8),
        "segmentation_mask": tf.TensorSpec((10, 10, 1), tf.uint8),
    }
    dataset = tf.data.Dataset.from_generator(examples, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(12)), read_so_far


@pytest.mark.parametrize("cache, passes", [("memory", 1), ("disk", 1), ("none", 2)])
def test_batches_are_the_same_in_every_cache_and_only_without_one_read_again(counted, twelve, tmp_path, cache, passes):
    examples, read_so_far = counted
    data = TrainingData(examples, 8, 4, "trimap", 3, 0.5, cache, tmp_path)
    plain = TrainingData(twelve, 8, 4, "trimap", 3, 0.5)
    for epoch in range(2):
        _, *batches = read(data.epoch(epoch))
        _, *expected = read(plain.epoch(epoch))
        assert all(np.array_equal(*pair) for pair in zip(batches, expected, strict=True))
    assert len(read_so_far) == 12 * passes
    assert len(list(tmp_path.iterdir())) == (cache == "disk")


def test_a_cache_on_disk_is_deleted_with_its_data(twelve, tmp_path):
    data = TrainingData(twelve, 8, 4, "pet", cache="disk", cache_folder=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert sum(path.stat().st_size for path in folder.iterdir()) >= 12 * 10 * 10 * 4
    epoch = data.epoch(0)
    del data
    gc.collect()
    assert len(read(epoch)[0]) == 3  # batches that are still in use keep it
    del epoch
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cache, passes", [("memory", 1), ("disk", 2), ("none", 2)])
def test_evaluation_data_is_kept_in_memory_or_not_at_all(counted, cache, passes):
    examples, read_so_far = counted
    data = evaluation_data(examples, 8, 4, "pet", cache)
    assert read(data)[0] == read(data)[0] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert len(read_so_far) == 12 * passes
