import numpy as np
import pytest

from tfcvae import glyphs


@pytest.fixture(scope="module", params=glyphs.SHAPES)
def kind(request):
    return request.param


def images(split, count, kind, seed=0):
    return np.stack([glyphs.draw(seed, index, split, kind)["image"] for index in range(count)])


def test_types_shapes_and_balanced_labels(kind):
    drawn = [glyphs.draw(0, index, "train", kind) for index in range(20)]
    for index, example in enumerate(drawn):
        assert example["image"].shape == glyphs.SHAPES[kind] and example["image"].dtype == np.uint8
        assert example["label"] == index % 10 and example["label"].dtype == np.int64
        assert np.ptp(example["image"]) > 60


def test_draw_is_a_pure_function_of_seed_index_split_and_kind(kind):
    first, again = (glyphs.draw(3, 7, "train", kind)["image"] for _ in range(2))
    assert np.array_equal(first, again)
    for other in (glyphs.draw(4, 7, "train", kind), glyphs.draw(3, 17, "train", kind), glyphs.draw(3, 7, "test", kind)):
        assert (first != other["image"]).mean() > 0.05


def test_no_image_occurs_twice_within_or_between_splits(kind):
    drawn = [image.tobytes() for split in glyphs.SPLITS for image in images(split, 200, kind)]
    assert len(set(drawn)) == 400


def test_examples_is_a_dataset_of_known_size_and_fixed_order(kind):
    dataset = glyphs.examples("test", 5, seed=2, kind=kind)
    assert int(dataset.cardinality()) == 5
    for index, example in enumerate(dataset.as_numpy_iterator()):
        expected = glyphs.draw(2, index, "test", kind)
        assert np.array_equal(example["image"], expected["image"]) and example["label"] == expected["label"]
