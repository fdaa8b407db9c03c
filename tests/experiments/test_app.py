"""The page in the browser: what its tabs compute, and, in a real Chromium, that it shows it."""

import importlib.util
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from experiments import app
from experiments.maintenance import page_pictures
from tests.experiments.sessions import ROOT, run_here

# Mistakes


@pytest.mark.parametrize(
    "options, gradio, line",
    [
        (["--port", "70000"], True, "argument --port: must be at most 65535, received 70000"),
        (["--weights", "none.keras"], True, "--weights none.keras is not a file"),
        ([], None, 'the page needs Gradio, an optional package; install it by pip install ".[app]"'),
    ],
)
def test_what_cannot_work_is_one_line(monkeypatch, capfd, options, gradio, line):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: gradio)
    status, out, err = run_here(monkeypatch, capfd, app, *options)
    assert (status, out) == (2, "") and err.startswith(f"error: {line}") and err.count("\n") == 1


# Images under any label


def drawn(line, width=20, size=280, colour="black"):
    """A transparent sheet with a line of ink, as Gradio's sketch pad returns it."""
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    ImageDraw.Draw(image).line(line, fill=colour, width=width)
    return np.asarray(image)


def test_a_drawing_becomes_an_image_as_in_mnist():
    from experiments.page.relabelling import as_input

    image = as_input(drawn([(30, 30), (30, 230)]), (28, 28, 1))  # a stroke near the left edge
    rows, columns = np.nonzero(image[..., 0])
    assert image.shape == (28, 28, 1) and image.dtype == np.float32 and image.max() == 1
    assert (rows.min(), rows.max()) == (4, 23)  # 20 pixels long, in the middle
    assert columns.mean() + 0.5 == pytest.approx(14, abs=0.5)
    heavy = as_input(drawn([(140, 40), (140, 240), (240, 240)]), (28, 28, 1))[..., 0]
    mass = [(heavy.sum(axis=axis) * (np.arange(28) + 0.5)).sum() / heavy.sum() for axis in (0, 1)]
    assert mass == pytest.approx([14, 14], abs=0.6)


def test_a_photo_becomes_its_middle_square():
    from experiments.page.relabelling import as_input

    photo = np.zeros((64, 128, 3), np.uint8)
    photo[:, 32:64], photo[:, 64:96] = (255, 0, 0), (0, 0, 255)
    image = as_input(photo, (32, 32, 3))
    assert (image[:, :16] == (1, 0, 0)).all() and (image[:, 16:] == (0, 0, 1)).all()


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
def test_a_blank_sheet_is_no_image(shape):
    from experiments.page.relabelling import as_input

    assert as_input(np.zeros((280, 280, 4), np.uint8), shape) is None
    assert as_input(np.full((280, 280, 3), 255, np.uint8), shape) is None


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 3)])
def test_a_sheet_of_samples_is_read_as_it_was_written(tmp_path, shape):
    from experiments.page.relabelling import read_samples, write_samples

    labels = np.array([1, 0, 2, 2, 1, 0, 2])
    images = np.random.default_rng(0).integers(0, 256, (7, *shape)).astype("float32") / 255
    write_samples(tmp_path / "some.png", images, labels, rows=2)
    read, read_labels = read_samples(tmp_path / "some.png", shape)
    assert read_labels.tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(read, images[[1, 0, 2, 5, 4, 3]])


@pytest.fixture(scope="module")
def digits():
    from experiments.page import relabelling

    return relabelling.load("mnist")


def test_the_samples_are_what_their_labels_say(digits):
    assert len(digits.images) == 50 and digits.labels.tolist() == list(range(10)) * 5
    for probabilities in digits.read(digits.images).values():
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        assert np.mean(probabilities.argmax(axis=1) == digits.labels) > 0.95


def test_an_image_goes_in_under_every_label(digits):
    image, labels = digits.images[7], np.arange(10)
    same = np.repeat(image[None], 10, axis=0)
    np.testing.assert_allclose(digits.under_every_label(image), digits.model.relabel(same, labels), atol=1e-6)
    only_decoder = digits.model.relabel(same, labels, encode_labels=np.full(10, 7))
    np.testing.assert_allclose(digits.under_every_label(image, true=7), only_decoder, atol=1e-6)


def test_sliders_move_the_latents_that_differ_most(digits):
    image = digits.images[3]
    latents, _ = digits.model.encode(digits.images, digits.labels)
    spread = latents.reshape(50, -1).var(axis=0)
    assert spread[digits.moved].min() >= np.delete(spread, digits.moved).max()
    still, moved = digits.under_every_label(image, moves=[0.0] * 6), digits.under_every_label(image, moves=[0, 2.0])
    np.testing.assert_array_equal(still, digits.under_every_label(image))
    assert np.abs(moved - still).mean() > 0.01


def test_readings_and_tiles_name_what_the_judges_read():
    pytest.importorskip("gradio", reason='needs pip install ".[app]"')
    from experiments.page.labels import every_label, readings_table

    sure, split = np.eye(3), np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.2, 0.2, 0.6]])
    names = ["cat", "<dog>", "frog"]
    read = {"one": sure, "two": split}
    table = readings_table(names, 0, 1, {"one": sure[:1], "two": split[:1]}, read).splitlines()
    assert "reads the image (cat) as" in table[0] and "under <dog>" in table[0]
    assert table[2:] == [
        "| one | cat (100%) | **<dog> (100%)** | 3 of 3 |",
        "| two | cat (90%) | **cat (90%)** | 2 of 3 |",
    ]
    tiles = every_label(names, np.zeros((3, 4, 4, 1)), read.values())
    assert tiles.count("<img") == 3 and tiles.count("✓") == 2
    assert "<b>&lt;dog&gt;</b> read as &lt;dog&gt; / cat" in tiles


# Photos


def test_results_are_written_and_old_ones_removed(tmp_path):
    pytest.importorskip("gradio", reason='needs pip install ".[app]"')
    from experiments.page import photo
    from experiments.unets.overlays import pictures_of

    pixels, probability = np.full((20, 30, 3), 90, np.uint8), np.full((20, 30), 0.3)
    probability[5:15, 5:20] = 0.7
    pictures, told = pictures_of(pixels, probability, None, 0.5)
    for _ in range(photo.KEPT_RESULTS + 5):
        paths = photo.write_results(tmp_path, "my cat", pictures)
    assert [Path(path).name for path in paths] == ["my cat-overlay.png", "my cat-mask.png", "my cat-cut-out.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(paths[1])) > 0, probability > 0.5)
    cut_out = np.asarray(Image.open(paths[2]))
    np.testing.assert_array_equal(cut_out[..., :3], pixels)
    np.testing.assert_array_equal(cut_out[..., 3], (probability > 0.5) * 255)
    assert told == "25.0% foreground" and len(list(tmp_path.iterdir())) == photo.KEPT_RESULTS + 1


def test_classes_have_their_ids_their_colours_and_a_legend():
    from experiments.unets.overlays import pictures_of
    from tfseg.classes import Classes

    classes = Classes(("ground", "cat", "dog"))
    ids = np.repeat(np.uint8([[0, 1, 2, 2]]), 8, axis=0)
    pictures, told = pictures_of(np.full((8, 4, 3), 200, np.uint8), ids, classes, 0.5)
    assert told == "ground 25.0%, cat 25.0%, dog 50.0%"
    np.testing.assert_array_equal(np.asarray(pictures["mask"]), ids)
    np.testing.assert_array_equal(np.asarray(pictures["cut-out"])[..., 3], (ids > 0) * 255)
    laid_over = np.asarray(pictures["overlay"])
    assert laid_over.shape[0] > 8 and (laid_over[0, 0] == 200).all()
    np.testing.assert_array_equal(laid_over[0, 1], np.round(100 + 0.5 * np.array(classes.colours[1])))


# In the browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page in a Chromium: (driver, address, folder of its temporary files)."""
    pytest.importorskip("gradio", reason='needs pip install ".[app]"')
    pytest.importorskip("selenium", reason='needs pip install ".[browser-test]"')
    if not (page_pictures.CHROMIUM and page_pictures.DRIVER):
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        with page_pictures.served() as (server, address), page_pictures.opened(address) as driver:
            yield driver, address, folder
            server.terminate()
            assert server.wait(30) == 0
            assert not list(folder.glob("page-*")), "temporary files are left"


@pytest.fixture
def animal(tmp_path):
    """A photo's file: one of the procedural dataset's animals."""
    from tfseg import shapes

    example = next(iter(shapes.examples("test", 1).as_numpy_iterator()))
    Image.fromarray(example["image"]).resize((300, 200)).save(tmp_path / "animal.jpg", quality=95)
    return tmp_path / "animal.jpg"


@pytest.mark.slow
def test_a_photo_gets_the_mask_of_segment(page, animal, tmp_path):
    driver, address, folder = page
    found = page_pictures.segment(driver, animal)
    command = [sys.executable, str(ROOT / "experiments" / "segment.py"), str(animal), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    for kind in ("mask", "overlay"):
        expected = np.asarray(Image.open(tmp_path / f"animal-{kind}.png"))
        np.testing.assert_array_equal(np.asarray(found[kind]), expected)
    assert found["cut-out"].mode == "RGBA" and list(folder.glob("page-*"))
    page_pictures.save_screenshot(driver, tmp_path / "photo.png")
    assert (tmp_path / "photo.png").stat().st_size > 20_000
    assert page_pictures.requests_elsewhere(driver, address) == []


@pytest.mark.slow
def test_a_file_that_is_no_photo_is_refused_on_the_page(page, tmp_path):
    driver = page[0]
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    driver.refresh()
    page_pictures.find(driver, "#photo input[type=file]").send_keys(str(tmp_path / "broken.jpg"))
    page_pictures.find(driver, "#photo img")
    page_pictures.find(driver, "#find").click()
    assert "can't be read as a photo" in page_pictures.find(driver, ".toast-wrap", "photo").text


@pytest.mark.slow
def test_a_test_image_and_a_drawing_go_in_under_a_label(page):
    driver, address, _ = page
    readings = page_pictures.send_in(driver, "mnist", "8", (0.75, 0.7))  # the fourth of the sevens
    assert readings.splitlines()[1].split()[1:] == ["7", "(100%)", "8", "(100%)", "10", "of", "10"]
    assert len(driver.find_elements("css selector", "#everything img")) == 10
    readings = page_pictures.draw(driver, [(-40, -60), (80, 0), (-50, 120)])
    assert readings.splitlines()[1].split()[1] == "7"
    readings = page_pictures.send_in(driver, "cifar10", "frog", (0.55, 0.5))
    assert "reads the image (dog) as" in readings and "under frog" in readings
    assert page_pictures.requests_elsewhere(driver, address) == []


@pytest.mark.slow
def test_a_sentence_is_translated_and_shows_where_the_model_looked(page):
    from tfnmt import pretrained

    if not pretrained.included():
        pytest.skip("no translator is included")
    driver, address, _ = page
    french = page_pictures.translate(driver, "Two dogs run.")
    command = [sys.executable, str(ROOT / "experiments" / "translate.py"), "Two dogs run."]
    expected = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert french.strip() == expected != ""
    assert len(driver.find_elements("css selector", "#attention td")) >= 9
    assert page_pictures.requests_elsewhere(driver, address) == []


@pytest.mark.slow
def test_the_page_listens_on_loopback_only_and_bounds_uploads(page):
    address = page[1]
    assert address.startswith("http://127.0.0.1:")
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="big.jpg"\r\n\r\n'
        + bytes(27_000_000)
        + b"\r\n--x--\r\n"
    )
    request = urllib.request.Request(
        f"{address}gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=x"}
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    assert error.value.code == 413
