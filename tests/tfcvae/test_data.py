import numpy as np
import pytest
import tensorflow as tf

from tfcvae.data import InputData, TrainingData, augment, binarise, evaluation_data, to_arrays


def examples(count, shape=(6, 6, 1)):
    """Image i is random, but for a corner of value i; its label is i % 10."""
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), "uint8")
    images[:, 0, 0] = np.arange(count)[:, None]
    return tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(count) % 10, "id": np.arange(count)})


def batches(data, epoch):
    return [(images.numpy(), labels.numpy()) for images, labels in data.epoch(epoch)]


def same(first, second):
    return all(
        np.array_equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_batches_are_float_images_with_their_own_labels_each_at_most_once():
    data = TrainingData(examples(20), 6)
    assert (data.count, data.batch_size, data.steps) == (20, 6, 3)
    seen = []
    for images, labels in batches(data, 0):
        assert images.shape == (6, 6, 6, 1) and images.dtype == "float32" and labels.dtype == "int32"
        assert images.min() >= 0 and images.max() <= 1
        numbers = np.round(images[:, 0, 0, 0] * 255).astype(int)
        assert np.array_equal(numbers % 10, labels)
        seen += numbers.tolist()
    assert len(seen) == len(set(seen)) == 18 and set(seen) < set(range(20))


def test_batches_are_a_pure_function_of_seed_and_epoch():
    first = TrainingData(examples(20), 6, seed=3, flip=True, crop=1)
    skipped_ahead = TrainingData(examples(20), 6, seed=3, flip=True, crop=1)
    expected = [batches(first, epoch) for epoch in range(3)]
    assert same(batches(skipped_ahead, 2), expected[2])
    assert same(batches(first, 0), expected[0])
    twice = first.epoch(0)  # as `fit` reads it outside TensorFlow: a batch to build the model, then all
    assert next(iter(twice)) and same(list(twice.as_numpy_iterator()), expected[0])
    assert not same(expected[0], expected[1])
    other = batches(TrainingData(examples(20), 6, seed=4, flip=True, crop=1), 0)
    assert not any(np.array_equal(a, b) for (_, a), (_, b) in zip(other, expected[0], strict=True))


def test_a_dataset_smaller_than_a_batch_is_one_batch_and_an_empty_one_an_error():
    data = TrainingData(examples(4), 32)
    assert (data.batch_size, data.steps) == (4, 1) and len(batches(data, 0)) == 1
    with pytest.raises(ValueError, match="Received: cardinality=0"):
        TrainingData(examples(4).take(0), 2)


def test_flip_mirrors_half_of_the_images_and_nothing_else():
    images = np.random.default_rng(0).random((400, 5, 5, 3), "float32")
    flipped = augment(images, tf.constant([0, 7], tf.int64), flip=True).numpy()
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    untouched = (flipped == images).all(axis=(1, 2, 3))
    assert (mirrored ^ untouched).all() and 0.4 < mirrored.mean() < 0.6


def test_crop_moves_every_image_by_up_to_its_size_and_fills_with_black():
    images = np.zeros((500, 7, 7, 1), "float32")
    images[:, 3, 3] = 1
    moved = augment(images, tf.constant([0, 7], tf.int64), crop=2).numpy()
    assert (moved.sum(axis=(1, 2, 3)) == 1).all()
    _, rows, columns, _ = np.nonzero(moved)
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(r, c) for r in range(1, 6) for c in range(1, 6)}


def test_blur_makes_its_share_of_the_images_coarser_and_keeps_the_rest():
    images = np.random.default_rng(0).random((400, 8, 8, 3), "float32")
    blurred = augment(images, tf.constant([0, 7], tf.int64), blur=0.5).numpy()
    spread = blurred.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    untouched = (blurred == images).all(axis=(1, 2, 3))
    assert 0.4 < untouched.mean() < 0.6
    assert 0.15 < (spread < 0.25).mean() < 0.35  # means of 4x4 pixels: a quarter of the spread, less when interpolated
    assert spread[~untouched].max() < 0.6  # means of 2x2: half of it
    np.testing.assert_allclose(blurred.mean(axis=(1, 2, 3)), images.mean(axis=(1, 2, 3)), atol=0.05)


def test_arrays_and_evaluation_data_keep_order_and_all_examples():
    images, labels = to_arrays(examples(20))
    assert images.shape == (20, 6, 6, 1) and images.dtype == "float32" and images.max() <= 1
    assert np.array_equal(labels, np.arange(20) % 10) and labels.dtype == "int32"
    parts = list(evaluation_data(examples(20), 8).as_numpy_iterator())
    assert [len(part[1]) for part in parts] == [8, 8, 4]
    assert np.array_equal(np.concatenate([part[0] for part in parts]), images)


def test_binarisation_has_a_seed_and_the_brightness_as_probability():
    grey = np.full((1, 100, 100, 1), 0.3, "float32")
    drawn = binarise(grey, 0)
    assert set(np.unique(drawn)) == {0, 1} and drawn.dtype == "float32" and drawn.mean() == pytest.approx(0.3, abs=0.02)
    assert np.array_equal(binarise(grey, 0), drawn) and not np.array_equal(binarise(grey, 1), drawn)
    assert np.array_equal(binarise(drawn, 5), drawn)
    images, _ = to_arrays(examples(20))
    first = next(iter(evaluation_data(examples(20), 20, seed=4)))[0]
    assert np.array_equal(first, binarise(images, 4))


def test_input_data_are_the_same_batches_as_inputs():
    plain, inputs = TrainingData(examples(20), 6, seed=3, crop=1), InputData(examples(20), 6, seed=3, crop=1)
    nested = [batch for (batch,) in inputs.epoch(1).as_numpy_iterator()]
    assert same(nested, batches(plain, 1))
