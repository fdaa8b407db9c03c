"""Folders of a person's own photos and masks: what is taken, and what is told of what is wrong. No TensorFlow."""

import numpy as np
import pytest
from PIL import Image

from experiments.harness.data.folders import choose_folder
from experiments.harness.running.errors import UserError
from experiments.unets.pairs import LAYOUT, read_pairs

SUFFIXES = ("png", "jpg", "bmp", "tif")


def write(folder, count=10, masks=lambda n: np.uint8([[0, 255]] * 3), size=(3, 2)):
    """Photos of several formats, and their masks."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for n in range(count):
        photo = Image.fromarray(np.full((*size, 3), n, np.uint8))
        photo.save(folder / "images" / f"{n:02d}.{SUFFIXES[n % 4]}")
        Image.fromarray(masks(n)).save(folder / "masks" / f"{n:02d}.png")
    return folder


def stems(pairs, split):
    assert all(photo.stem == mask.stem for photo, mask in pairs.splits[split])
    return [photo.stem for photo, _ in pairs.splits[split]]


def test_a_folder_is_split_at_random_and_always_the_same(tmp_path):
    pairs = read_pairs(write(tmp_path, 20))
    found = [stems(pairs, split) for split in ("train", "validation", "test")]
    assert [len(names) for names in found] == [14, 2, 4]
    assert sorted(sum(found, [])) == [f"{n:02d}" for n in range(20)] and found == [sorted(names) for names in found]
    assert read_pairs(tmp_path) == pairs
    assert pairs.coding.classes.names == ("background", "object")
    Image.fromarray(np.full((3, 2, 3), 99, np.uint8)).save(pairs.splits["test"][0][0])
    changed = read_pairs(tmp_path).fingerprint
    assert [changed[key] == pairs.fingerprint[key] for key in changed] == [True, True, False]


@pytest.mark.parametrize(
    "lists, sizes",
    [
        ({"train": 5, "val": 2, "test": 3}, [5, 2, 3]),
        ({"train": 6, "test": 3}, [5, 1, 3]),  # validation is a tenth of train, one at least
        ({"train": 6, "val": 3}, [5, 1, 3]),  # val is what is scored
    ],
)
def test_lists_split_a_folder(tmp_path, lists, sizes):
    write(tmp_path)
    numbers = iter(range(10))
    for name, count in lists.items():
        lines = [f"{next(numbers):02d}" + (".png" if name == "test" else "") for _ in range(count)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n\n")
    pairs = read_pairs(tmp_path)
    assert [len(stems(pairs, split)) for split in ("train", "validation", "test")] == sizes
    assert stems(pairs, "test") == [f"{n:02d}" for n in range(10)][10 - 3 - (sum(lists.values()) < 10) :][:3]


def test_names_of_classes(tmp_path):
    write(tmp_path, masks=lambda n: np.uint8([[0, n % 3]] * 3))
    (tmp_path / "classes.txt").write_text("background\npale sky #80c0ff\nsea\n")
    assert read_pairs(tmp_path).coding.classes.names == ("background", "pale sky", "sea")


def line(folder):
    with pytest.raises(UserError) as error:
        read_pairs(folder)
    assert "\n" not in str(error.value)
    return str(error.value).replace(f"{folder}/", "")


def test_a_folder_without_images_or_masks(tmp_path):
    assert line(tmp_path).endswith(f"has no folder images: {LAYOUT}")
    (tmp_path / "images").mkdir()
    assert "has no folder masks" in line(tmp_path)
    (tmp_path / "masks").mkdir()
    assert line(tmp_path) == "no image in images"


@pytest.mark.parametrize(
    "spoil, expected",
    [
        (lambda f: (f / "images/03.tif").unlink(), "masks/03.png has no photo: images/ needs a file of the name 03"),
        (lambda f: (f / "masks/03.png").unlink(), "images/03.tif has no mask: masks/ needs a file of the name 03"),
        (lambda f: Image.new("L", (2, 4)).save(f / "masks/03.png"),
         "masks/03.png is 2 x 4 pixels, and its photo images/03.tif is 2 x 3"),
        (lambda f: Image.fromarray(np.uint8([[0, 7]] * 3)).save(f / "masks/03.png"),
         "masks/03.png has the value 7, and most other masks are of 0 and 255 alone; mend it, or name the classes in "
         "classes.txt"),
        (lambda f: (f / "classes.txt").write_text("a\nb\nc"),
         "masks: Masks must tell 2 to 255 classes apart. Received: 1 (0)"),
        (lambda f: (f / "classes.txt").write_text("a\nb\na"),
         "classes.txt has a twice; classes differ in name and colour"),
        (lambda f: (f / "classes.txt").write_text("a #102030\nb #102030"), "classes.txt has #102030 twice"),
        (lambda f: (f / "images/03.tif").write_bytes(b"II*\0words"), "images/03.tif can't be read ("),
        (lambda f: Image.new("L", (2, 3)).save(f / "images/03.gif"),
         "images/03.gif and images/03.tif have the same name; keep one of them"),
        (lambda f: (f / "train.txt").write_text("00\n01\ncat"),
         "train.txt names 'cat', and there is no image of that name"),
        (lambda f: [(f / f"{name}.txt").write_text("00\n01") for name in ("train", "test")],
         "test.txt names '00', which train.txt names as well"),
        (lambda f: (f / "train.txt").write_text("00\n01"), "has train.txt; it needs train.txt and test.txt"),
        (lambda f: [(f / f"{name}.txt").write_text(text) for name, text in (("train", "00"), ("test", "01"))],
         "one training image is too few: one more is needed for validation"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line_that_names_the_file(tmp_path, spoil, expected):
    spoil(write(tmp_path))
    assert expected in line(tmp_path)


def test_a_value_without_a_name(tmp_path):
    write(tmp_path, masks=lambda n: np.uint8([[0, 1 + (n == 6)]] * 3))
    (tmp_path / "classes.txt").write_text("land\nsea")
    assert line(tmp_path) == "masks/06.png: the value 2 is none of the 2 classes with a name; see classes.txt"


def paletted(ids, colours):
    image = Image.fromarray(np.uint8(ids)).convert("P")
    image.putpalette([part for colour in colours for part in colour])
    return image


def test_palettes_that_differ_are_told(tmp_path):
    black, red = (0, 0, 0), (255, 0, 0)
    write(tmp_path, masks=lambda n: np.uint8([[0, 1]] * 3))
    for n in range(10):
        paletted([[0, 1]] * 3, [black, red]).save(tmp_path / f"masks/{n:02d}.png")
    assert read_pairs(tmp_path).coding.classes.colours == (black, red)
    paletted([[0, 1]] * 3, [red, black]).save(tmp_path / "masks/04.png")
    assert "different colours for the value 0 of their palettes; save all masks with one palette" in line(tmp_path)
    assert "masks/04.png" in line(tmp_path)
    Image.fromarray(np.uint8([[black, red]] * 3)).save(tmp_path / "masks/04.png")
    assert line(tmp_path).startswith("masks/04.png is in colour, and masks/")


def test_an_object_that_is_1_here_and_255_there_is_told(tmp_path):
    write(tmp_path, masks=lambda n: np.uint8([[0, 1 if n % 2 else 255]] * 3))
    for names in (None, "ground\ncup"):
        if names:
            (tmp_path / "classes.txt").write_text(names)
        told = line(tmp_path)
        assert told.endswith("save all masks alike") and "has the values 0 and 1, and" in told
    Image.fromarray(np.uint8([[0, 1], [255, 0], [0, 0]])).save(tmp_path / "masks/01.png")  # 255 is void
    assert read_pairs(tmp_path).coding.values == (0, 1)


def test_masks_of_background_alone_do_not_say_that_255_is_an_object(tmp_path):
    void = np.uint8([[0, 1], [255, 0], [0, 0]])
    write(tmp_path, masks=lambda n: void if n < 4 else np.zeros((3, 2), np.uint8))
    assert read_pairs(tmp_path).coding.values == (0, 1)


def test_two_images_are_too_few(tmp_path):
    assert line(write(tmp_path, 2)).startswith("2 images are too few: training, validation and test need at least 5")


def test_a_folder_is_told_from_a_dataset(tmp_path):
    choice = choose_folder(str(write(tmp_path / "my photos!")))
    assert (choice.name, choice.source) == ("own-my-photos", "folder")
    assert choose_folder("coco") is None and choose_folder("emnist/letters") is None
    for path in (str(tmp_path / "absent"), "./absent", "~/absent", str(tmp_path / "my photos!/images/00.png")):
        with pytest.raises(UserError, match="is not a folder"):
            choose_folder(path)
