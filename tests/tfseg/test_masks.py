"""Masks as people save them: what is read of a file, and which value is which class."""

import numpy as np
import pytest
from PIL import Image

from tfseg.classes import Classes
from tfseg.masks import COLOUR, UnknownValue, as_image, find_coding, read_mask
from tfseg.photos import PhotoError

IDS = np.array([[0, 1, 2], [2, 0, 1]], np.uint8)
COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 64, 255]], np.uint8)


def saved(folder, image, name="mask.png", **options):
    image.save(folder / name, **options)
    return folder / name


def palette_image(ids, colours):
    image = Image.fromarray(ids).convert("P")
    image.putpalette(colours.ravel().tolist())
    return image


@pytest.mark.parametrize(
    "image, expected",
    [
        (Image.fromarray(IDS > 0), (IDS > 0) * 255),
        (Image.fromarray(IDS * 100), IDS * 100),
        (Image.fromarray(IDS.astype(np.uint16) * 30_000), IDS.astype(int) * 30_000),
        (Image.fromarray(np.dstack([IDS, IDS])), IDS),  # grey and alpha
        (Image.fromarray(np.repeat(IDS[..., None], 3, axis=2)), IDS),  # grey saved as RGB
        (Image.fromarray(COLOURS[IDS]), np.array([COLOUR, COLOUR + 0x800000, COLOUR + 0x0040FF])[IDS]),
        (palette_image(IDS, COLOURS), IDS),
    ],
    ids=["1 bit", "8 bits", "16 bits", "alpha", "grey RGB", "colours", "palette"],
)
def test_values_are_those_stored(tmp_path, image, expected):
    values, palette = read_mask(saved(tmp_path, image))
    assert values.dtype == np.int32 and np.array_equal(values, expected)
    assert (palette is not None) == (image.mode == "P")
    if palette is not None:
        assert np.array_equal(palette[:3], COLOURS)


def test_a_jpeg_that_blurs_is_named_and_a_black_and_white_one_is_read(tmp_path):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 2, (16, 16), np.uint8) * 255)
    with pytest.raises(PhotoError, match=r"mask\.jpg is a JPEG, which blurs masks .*; save masks as PNG"):
        read_mask(saved(tmp_path, noise, "mask.jpg", quality=50))
    flat = saved(tmp_path, Image.fromarray(np.full((16, 16), 255, np.uint8)), "flat.jpg")
    assert np.unique(read_mask(flat)[0]).tolist() == [255]


def test_what_is_no_mask_is_named(tmp_path):
    with pytest.raises(PhotoError, match=r"a\.tif holds floats; save masks as whole numbers"):
        read_mask(saved(tmp_path, Image.fromarray(np.zeros((2, 2), np.float32)), "a.tif"))
    (tmp_path / "b.png").write_bytes(b"words")
    with pytest.raises(PhotoError, match=r"b\.png can't be read \(not an image that Pillow knows\)"):
        read_mask(tmp_path / "b.png")


@pytest.mark.parametrize(
    "found, names, values, ignore",
    [
        ([0, 255], ["background", "object"], (0, 255), None),
        ([0, 1, 255], ["background", "object"], (0, 1), 255),
        ([0, 1, 2, 255], ["class 0", "class 1", "class 2"], (0, 1, 2), 255),
        ([3, 7, 300], ["class 3", "class 7", "class 300"], (3, 7, 300), 255),
        ([*range(151), 255], [f"class {n}" for n in range(151)], tuple(range(151)), 255),  # not taken for shades
    ],
)
def test_classes_are_found_in_the_values(found, names, values, ignore):
    coding = find_coding(found)
    assert list(coding.classes.names) == names and coding.values == values and coding.ignore == ignore
    ids = coding.ids(np.array(found))
    assert [255 if value == ignore else values.index(value) for value in found] == ids.tolist()
    assert ids.dtype == np.uint8


def test_another_ignore_value():
    coding = find_coding([0, 1, 2], ignore=0)
    assert coding.values == (1, 2) and coding.ids(np.array([0, 1, 2])).tolist() == [255, 0, 1]


def test_a_named_value_can_be_ignored():
    names = [("void", COLOUR), ("road", COLOUR + 0xFF), ("car", COLOUR + 0xFF00)]
    coding = find_coding([0, 1, 2], names, ignore=0)
    assert coding.classes.names == ("road", "car") and coding.classes.colours == ((0, 0, 255), (0, 255, 0))
    assert coding.ids(np.array([0, 1, 2])).tolist() == [255, 0, 1]


def test_a_colour_can_be_ignored():
    white, red, black = COLOUR + 0xFFFFFF, COLOUR + 0xFF0000, COLOUR
    values = np.array([black, red, white])
    assert find_coding(values).values == (black, red, white)
    coding = find_coding(values, ignore=white)
    assert coding.values == (black, red) and coding.ids(values).tolist() == [0, 1, 255]
    named = find_coding(values, [("void", white), ("red", red), ("black", black)], ignore=white)
    assert named.classes.names == ("red", "black") and named.ids(values).tolist() == [1, 0, 255]


def test_names_and_colours():
    coding = find_coding([0, 2], [("sky", None), ("sea", None), ("sand", None)])
    assert coding.classes.names == ("sky", "sea", "sand") and coding.values == (0, 1, 2)
    assert find_coding([0, 255], [("table", None), ("cup", None)]).classes.names == ("table", "cup")
    assert find_coding([0, 255], [("cup", None)]).classes.names == ("background", "cup")
    drawn = find_coding([0, 255], [("table", COLOUR + 0x102030), ("cup", COLOUR + 0xFF)]).classes.colours
    assert drawn == ((16, 32, 48), (0, 0, 255))
    assert find_coding([0, 1, 2], palette=COLOURS).classes.colours[2] == (0, 64, 255)
    reversed_ = find_coding([0, 1], palette=COLOURS[1::-1])  # whose object may be either
    assert reversed_.classes.names == ("class 0", "class 1") and reversed_.classes.colours[1] == (0, 0, 0)
    green, blue = COLOUR + 0x00FF00, COLOUR + 0x0000FF
    coloured = find_coding([0, green, blue], [("blue", blue), ("green", green), ("black", COLOUR)])
    assert coloured.ids(np.array([0, green, blue])).tolist() == [2, 1, 0]  # a black mask is read as greyscale
    assert coloured.classes.colours == ((0, 0, 255), (0, 255, 0), (0, 0, 0))


@pytest.mark.parametrize(
    "found, named, ignore, message",
    [
        ([0, 3], [("a", None), ("b", None)], 255, "the value 3 is none of the 2 classes with a name"),
        ([0, COLOUR + 0x102030], [("a", COLOUR), ("b", COLOUR + 1)], 255, "the value #102030 is none of the 2"),
        ([0, COLOUR + 5], [("a", None), ("b", None)], 255, "Masks in colour need a colour for each .*: a #80c000"),
        ([0, 255], [(name, None) for name in "abc"], 255, r"2 to 255 classes apart. Received: 1 \(0\)"),
        (range(300), [], 255, "Received: 299 .* and more"),
        ([*range(0, 255, 9), 255], [], 255, "30 values from 0 to 255 look blurred"),
        ([0, COLOUR + 9], [], 7, "ignore a colour, such as #ffffff. Received: 7"),
        ([0, 1, 2], [], COLOUR + 0xFFFFFF, "ignore a whole number. Received: #ffffff"),
    ],
)
def test_values_that_are_no_classes(found, named, ignore, message):
    with pytest.raises(ValueError, match=message) as error:
        find_coding(list(found), named, ignore=ignore)
    assert isinstance(error.value, UnknownValue) == ("none of" in message)


def test_ids_are_saved_with_the_colours_of_their_classes(tmp_path):
    classes = Classes("abc", COLOURS.tolist())
    path = saved(tmp_path, as_image(IDS, classes))
    assert np.array_equal(read_mask(path)[0], IDS)
    assert np.array_equal(np.asarray(Image.open(path).convert("RGB")), COLOURS[IDS])
