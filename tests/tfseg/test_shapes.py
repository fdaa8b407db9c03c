import numpy as np
import pytest
from scipy import ndimage

from tfseg import shapes


@pytest.fixture(scope="module")
def drawn():
    return [shapes.draw(0, index) for index in range(48)]


def neighbours(trimap, value):
    """Pixels with a 4-neighbour of this value."""
    return ndimage.binary_dilation(trimap == value)


def test_types_and_shapes_are_those_of_oxford_iiit_pet(drawn):
    for example in drawn:
        height, width = example["image"].shape[:2]
        assert 96 <= height <= 200 and 96 <= width <= 200
        assert example["image"].shape == (height, width, 3) and example["image"].dtype == np.uint8
        assert example["segmentation_mask"].shape == (height, width, 1)
        assert example["segmentation_mask"].dtype == np.uint8
        assert example["label"].dtype == np.int64 and 0 <= example["label"] < shapes.LABELS <= 37
        assert example["species"].dtype == np.int64 and example["species"] in (0, 1)
    assert drawn[12]["file_name"] == b"shapes_train_00012.png"
    assert shapes.draw(0, 12, "test")["file_name"] == b"shapes_test_00012.png"


def test_border_separates_pet_from_background_and_touches_both(drawn):
    for example in drawn:
        trimap = example["segmentation_mask"][..., 0]
        assert set(np.unique(trimap)) == {1, 2, 3}
        assert not (neighbours(trimap, 1) & (trimap == 2)).any()
        border = trimap == 3
        assert (neighbours(trimap, 1) & border).any() and (neighbours(trimap, 2) & border).any()
        far = ndimage.distance_transform_cdt(border, "taxicab") > 4  # a ring, not an area
        assert far.sum() < 0.02 * border.sum()


def test_draw_is_a_pure_function_of_seed_index_and_split():
    first, again = shapes.draw(3, 7), shapes.draw(3, 7)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    for other in (shapes.draw(4, 7), shapes.draw(3, 8), shapes.draw(3, 7, "test")):
        assert first["image"].shape != other["image"].shape or (first["image"] != other["image"]).mean() > 0.5


def test_examples_is_a_dataset_of_known_size_and_fixed_order():
    dataset = shapes.examples("test", 5, seed=2)
    assert int(dataset.cardinality()) == 5
    passes = [list(dataset.as_numpy_iterator()) for _ in range(2)]
    for index, (first, second) in enumerate(zip(*passes, strict=True)):
        expected = shapes.draw(2, index, "test")
        assert first.keys() == expected.keys()
        for key, value in expected.items():
            assert np.array_equal(first[key], value) and np.array_equal(second[key], value)
