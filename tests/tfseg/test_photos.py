import struct

import numpy as np
import pytest
from PIL import Image

from tfseg.photos import PhotoError, as_photo, photos_in, read_photo

COLOURS = np.array(
    [[[200, 30, 10], [10, 180, 40], [20, 40, 220]], [[0, 0, 0], [255, 255, 255], [90, 90, 90]]], np.uint8
)
GREYS = np.array([[0, 100, 255], [17, 200, 3]], np.uint8)
INKS = np.array([[[0, 255, 255, 0], [255, 0, 255, 0]]], np.uint8)
RGBA = np.array([[[200, 30, 10, 255], [200, 30, 10, 0], [0, 0, 0, 127]]], np.uint8)


def saved(tmp_path, image, name, **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def as_rgb(greys):
    return np.repeat(greys[..., None], 3, axis=-1)


KINDS = {
    "name": ("ein Hund ü 猫.PNG", Image.fromarray(COLOURS), COLOURS),
    "grey": ("a.png", Image.fromarray(GREYS), as_rgb(GREYS)),
    "palette": ("a.png", Image.fromarray(as_rgb(GREYS)).quantize(8), as_rgb(GREYS)),
    "1 bit": ("a.png", Image.fromarray(GREYS > 99), as_rgb(np.where(GREYS > 99, 255, 0))),
    "16 bits": ("a.png", Image.fromarray(GREYS * np.uint16(257)), as_rgb(GREYS)),
    "floats": ("a.tif", Image.fromarray(np.float32(GREYS)), as_rgb(GREYS)),
    "large floats": ("a.tif", Image.fromarray(GREYS * np.float32(1000)), as_rgb(GREYS)),
    "NaN": ("a.tif", Image.fromarray(np.float32([[np.nan, 1], [0, 0.5]])), as_rgb(np.array([[0, 255], [0, 128]]))),
    "cmyk": ("a.tif", Image.fromarray(INKS, "CMYK"), [[[255, 0, 0], [0, 255, 0]]]),
    "on white": ("a.png", Image.fromarray(RGBA), [[[200, 30, 10], [255, 255, 255], [128, 128, 128]]]),
}


@pytest.mark.parametrize("name, image, expected", KINDS.values(), ids=KINDS)
def test_every_kind_of_image_becomes_rgb_of_8_bits(tmp_path, name, image, expected):
    photo = read_photo(saved(tmp_path, image, name))
    assert photo.dtype == np.uint8 and np.array_equal(photo, expected)


@pytest.mark.parametrize(
    "orientation, seen",
    [
        (1, COLOURS),
        (2, COLOURS[:, ::-1]),
        (3, COLOURS[::-1, ::-1]),
        (4, COLOURS[::-1]),
        (5, COLOURS.transpose(1, 0, 2)),
        (6, np.rot90(COLOURS, -1)),  # held upright: to be turned clockwise
        (7, np.rot90(COLOURS, 2).transpose(1, 0, 2)),
        (8, np.rot90(COLOURS)),
        (9, COLOURS),  # means nothing
    ],
)
def test_the_camera_s_rotation_is_applied(tmp_path, orientation, seen):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(COLOURS), "a.png", exif=exif)
    assert np.array_equal(read_photo(path), seen)


def test_a_malformed_note_of_the_camera_s_does_not_hide_the_photo(tmp_path):
    orientation, resolution = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), struct.pack("<HHI4s", 0x011A, 2, 3, b"72")
    notes = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + orientation + resolution + bytes(4)
    path = saved(tmp_path, Image.new("L", (5, 3)), "a.jpg", exif=notes)
    assert read_photo(path).shape == (5, 3, 3)


def test_transparent_colour_of_a_palette_lies_on_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 50, 60, 70])
    image.putpixel((1, 0), 1)
    path = saved(tmp_path, image, "a.gif", transparency=0)
    assert read_photo(path).tolist() == [[[255, 255, 255], [50, 60, 70]]]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_the_first_frame_of_an_animation_is_read(tmp_path, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert np.abs(read_photo(path).astype(int) - [255, 0, 0]).max() <= 3  # webp is lossy


@pytest.mark.parametrize("content", [b"", b"just some words", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(PhotoError) as error:
        read_photo(path)
    assert str(error.value) == f"{path} can't be read (not an image that Pillow knows)"


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.tif", "a.webp", "a.bmp"])
def test_an_image_that_is_cut_short_is_named(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(PhotoError, match="can't be read") as error:
        read_photo(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(PhotoError, match=r"absent\.jpg can't be read \(No such file or directory\)"):
        read_photo(tmp_path / "absent.jpg")
    with pytest.raises(PhotoError, match=r"can't be read \(Is a directory\)"):
        read_photo(tmp_path)


def test_too_many_pixels_are_an_error(tmp_path, monkeypatch):
    """Pillow warns above its limit, and refuses above twice its limit."""
    path = saved(tmp_path, Image.new("L", (4, 2)), "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    assert read_photo(path).shape == (2, 4, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    with pytest.raises(PhotoError, match=r"a\.png can't be read \(more than 0 million pixels; make it smaller\)"):
        read_photo(path)


def test_a_folder_gives_its_images_sorted_without_hidden_files_and_subfolders(tmp_path):
    others = ["IMG_1", "clip.mpg", "d.heic", "model.h5", "page.pdf"]
    for name in ("b.jpg", "a.PNG", "c d.webp", ".hidden.jpg", *others):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "folder.jpg" / "inner.jpg").touch()
    images, left_out = photos_in(tmp_path)
    assert [path.name for path in images] == ["a.PNG", "b.jpg", "c d.webp"]
    assert [path.name for path in left_out] == others


# Arrays


def test_arrays_become_rgb_bytes():
    assert np.array_equal(as_photo(COLOURS), COLOURS)
    for grey in (GREYS, GREYS[..., None], GREYS.astype("uint16") * 257, GREYS / 255, (GREYS / 255).astype("float32")):
        assert np.array_equal(as_photo(grey), as_rgb(GREYS)) and as_photo(grey).dtype == np.uint8
    assert as_photo(GREYS > 90).tolist() == as_rgb(np.where(GREYS > 90, 255, 0)).tolist()
    half = np.uint8([[[100, 0, 255, 51], [10, 20, 30, 0], [10, 20, 30, 255]]])  # a fifth of it, on white
    assert as_photo(half).tolist() == [[[224, 204, 255], [255, 255, 255], [10, 20, 30]]]


@pytest.mark.parametrize(
    "pixels, message",
    [
        (np.zeros((4, 4, 2), np.uint8), r"grey, RGB or RGBA. Received: uint8 \(4, 4, 2\)"),
        (np.zeros((0, 4, 3)), r"Received: float64 \(0, 4, 3\)"),
        (np.full((4, 4, 3), 255.0), r"floats must lie in \[0, 1\]; pass values in \[0, 255\] as uint8. .*: 255 to 255"),
        (np.zeros((4, 4), np.int64), r"uint8, uint16, bool, or floats in \[0, 1\]. Received: int64"),
    ],
)
def test_arrays_that_are_no_photo_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        as_photo(pixels)
