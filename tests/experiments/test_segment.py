"""The photo-to-mask command, and the one that puts weights into the repository."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import segment
from experiments.harness.running.errors import UserError
from experiments.unets.overlays import overlay
from tests.experiments.sessions import ROOT, include, quick, run_here

SCRIPT = ROOT / "experiments" / "segment.py"


def photo(path, height=40, width=30, **options):
    """A photo of noise, written to `path`."""
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


# Mistakes


@pytest.mark.parametrize(
    "options, line",
    [
        ([], "name a photo or a folder of photos"),
        (["a.png", "--threshold", "1.5"], "argument --threshold: must lie between 0 and 1, received 1.5"),
        (["absent.jpg"], "absent.jpg does not exist"),
        (["empty"], "no image in empty"),
        (["a.png", "--weights", "absent.keras"], "--weights absent.keras is not a file"),
        (["a.png", "--weights", "cut.keras"], "--weights cut.keras can't be read: it is damaged, or no Keras model"),
        (["a.png", "--out", "a.png"], "Can't write to a.png: File exists. Choose another folder with --out."),
        (["--export", "empty"], "--export: empty exists already; delete it, or export to another path"),
        (["a.png", "--export", "x", "--out", "x/../x/y"], "--out x/../x/y is what --export writes, or lies in it; "),
        (["a.png", "--export", "segmented"], "--out segmented is what --export writes, or lies in it; choose another"),
        (["absent.jpg", "--export", "new/x"], "absent.jpg does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_one_line(tmp_path, monkeypatch, capfd, options, line):
    photo(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.keras").write_bytes(segment.INCLUDED.read_bytes()[:100_000])
    monkeypatch.chdir(tmp_path)
    code, out, err = run_here(monkeypatch, capfd, segment, *options)
    assert code == 2 and err.startswith(f"error: {line}") and err.count("\n") == 1 and "TensorFlow" not in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "cut.keras", "empty"]


def test_files_of_which_none_is_an_image_need_no_tensorflow(tmp_path):
    (tmp_path / "notes.jpg").write_text("words")
    (tmp_path / "b.png").write_text("words")
    done = quick(tmp_path, SCRIPT, "b.png", "notes.jpg")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "skipped: b.png can't be read (not an image that Pillow knows)",
        "skipped: notes.jpg can't be read (not an image that Pillow knows)",
        "2 of 2 photos skipped",
    ]


def test_a_file_that_is_no_model_is_one_line(tmp_path, run):
    (tmp_path / "words.h5").write_text("words")
    with pytest.raises(UserError, match=r"^\S*words\.h5 is no model that Keras can load \(.+\)$"):
        run(photo(tmp_path / "a.png"), "--weights", tmp_path / "words.h5")


# Inputs and outputs


def test_a_folder_gives_its_images_and_says_how_many(tmp_path, capsys):
    folder = tmp_path / "mein Ordner ü"
    for name in ("b.jpg", "a b.png", ".hidden.png"):
        photo(folder / name)
    (folder / "notes.txt").write_text("words")
    found = segment.find_photos([photo(tmp_path / "c.png"), folder, folder / "b.jpg", folder / "notes.txt"])
    assert [path.name for path in found] == ["c.png", "a b.png", "b.jpg", "notes.txt"]  # each once
    assert capsys.readouterr().out == f"{folder}: 2 images; 1 other file left out (.txt)\n"


def test_photos_of_the_same_stem_get_names_of_their_own():
    photos = [Path(name) for name in ("a.jpg", "a.png", "x/A.jpg", "a-2.jpg", "日本 猫.webp")]
    outputs = segment.name_outputs(photos, Path("out"))
    masks = ["a-mask.png", "a-2-mask.png", "A-3-mask.png", "a-2-2-mask.png", "日本 猫-mask.png"]
    assert [outputs[photo][0] for photo in photos] == [Path("out", name) for name in masks]
    assert [mask.name.replace("mask", "overlay") for mask, _ in outputs.values()] == [
        o.name for _, o in outputs.values()
    ]


@pytest.mark.parametrize("out", ["photos", "photos/../photos", "link"])
def test_a_photo_is_never_overwritten(tmp_path, out):
    photos = [photo(tmp_path / "photos" / name) for name in ("a.png", "a-mask.png")]
    (tmp_path / "link").symlink_to("photos")
    with pytest.raises(UserError, match=r"a-mask\.png is one of the photos and would be overwritten"):
        segment.name_outputs(photos, tmp_path / out)


# Runs


@pytest.fixture(scope="module")
def red(tmp_path_factory):
    """Weights of a model of 8 x 8 pixels: foreground where red."""
    import keras

    inputs = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(1, 1)
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.array([10.0, 0, 0]).reshape(1, 1, 3, 1), np.array([-5.0])])
    path = tmp_path_factory.mktemp("weights") / "red.keras"
    model.save(path)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the script in this process, in a folder of its own, and returns its exit status."""
    monkeypatch.chdir(tmp_path)

    def call(*options):
        monkeypatch.setattr(sys, "argv", ["segment.py", *map(str, options)])
        return segment.main()

    return call


def test_masks_and_overlays_of_photos_of_all_kinds(tmp_path, run, capsys):
    from tfseg import predict
    from tfseg.photos import read_photo

    folder, out = tmp_path / "photos", tmp_path / "aus gabe"
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(folder / "upright ü.jpg", 30, 50, exif=exif)
    photo(folder / "wide.png", 200, 90)
    (folder / "words.jpg").write_text("words")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    assert run(folder, "--out", out, "--flip", "--threshold", "0.3") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    names = [f"{stem}-{kind}.png" for stem in ("upright ü", "wide") for kind in ("mask", "overlay")]
    assert sorted(path.name for path in out.iterdir()) == names
    model, lines = predict.load_model(), capsys.readouterr()
    for name, size in (("upright ü.jpg", (50, 30)), ("wide.png", (200, 90))):
        image = read_photo(folder / name)
        mask = predict.segment(model, image, flip=True, threshold=0.3)[1]
        stem = Path(name).stem
        with Image.open(out / f"{stem}-mask.png") as written:
            assert written.mode == "L" and np.array_equal(written, np.uint8(255) * mask) and mask.shape == size
        with Image.open(out / f"{stem}-overlay.png") as written:
            assert np.array_equal(written, overlay(image, mask))
        line = rf"{re.escape(str(folder / name))}: {mask.mean():.1%} foreground, \d+\.\d\d s -> .*{stem}-mask\.png, "
        assert re.search(line + rf"{stem}-overlay\.png$", lines.out, re.MULTILINE)
    assert f"{folder}: 3 images\n" in lines.out and "test IoU 0." in lines.out
    assert lines.err.splitlines() == [
        f"skipped: {folder / 'words.jpg'} can't be read (not an image that Pillow knows)",
        "1 of 3 photos skipped",
    ]


def test_an_output_that_cannot_be_written_is_named_and_the_others_follow(tmp_path, run, red, capsys):
    (tmp_path / "out" / "a-mask.png").mkdir(parents=True)
    photos = [photo(tmp_path / name) for name in ("a.png", "b.png")]
    assert run(*photos, "--weights", red, "--out", tmp_path / "out") == 1
    assert re.search(r"^skipped: .*Is a directory.*a-mask\.png", capsys.readouterr().err)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-mask.png", "b-mask.png", "b-overlay.png"]


def test_your_own_weights_and_their_export(tmp_path, run, red, capsys):
    import tensorflow as tf

    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")

    options = ["--weights", red, "--out", tmp_path, "--export", tmp_path / "red"]
    assert run(tmp_path / "a.png", *options) == 0
    with Image.open(tmp_path / "a-mask.png") as mask:
        assert np.array_equal(np.asarray(mask)[:, [0, 6, 9, 15]], [[255, 255, 0, 0]] * 16)
    loaded = tf.saved_model.load(tmp_path / "red")
    probability = loaded.serve(pixels[None, ::2, ::2] / np.float32(255)).numpy()
    np.testing.assert_allclose(probability[0, 0, [0, 7], 0], 1 / (1 + np.exp([-5.0, 5.0])), rtol=1e-5)
    assert f"{tmp_path / 'red'}: SavedModel, for photos of 8 x 8 pixels\n" in capsys.readouterr().out


def test_an_export_that_fails_is_one_line_and_leaves_nothing(tmp_path, run, red, monkeypatch):
    """As TensorFlow says that the disk is full."""
    import keras
    import tensorflow as tf

    def fail(model, path, **_):
        path.mkdir()
        raise tf.errors.OutOfRangeError(None, None, "{{node save}} variables; No space left on device [Op:SaveV2]")

    monkeypatch.setattr(keras.Model, "export", fail)
    with pytest.raises(UserError, match=r"^can't export to \S*pets: variables; No space left on device$"):
        run("--weights", red, "--export", tmp_path / "pets")
    assert list(tmp_path.iterdir()) == []


# Ends before its end


def test_where_nobody_reads_on_it_ends_as_other_tools_do(tmp_path):
    """As before `| head`: no line on the terminal, and no photo counted as skipped."""
    photo(tmp_path / "a.png")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, SCRIPT, "a.png"],
        check=False,
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")


def test_a_photo_that_memory_does_not_bear_is_skipped(tmp_path, run, red, capsys, monkeypatch):
    import tensorflow as tf

    from tfseg import predict

    whole, errors = predict.segment, [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM"), None]

    def starved(*arguments):
        error = errors.pop(0)
        if error:
            raise error
        return whole(*arguments)

    monkeypatch.setattr(predict, "segment", starved)
    photos = [photo(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    assert run(*photos, "--weights", red) == 1
    output, problems = capsys.readouterr()
    assert problems.splitlines() == [
        *(f"skipped: {path} takes more memory than there is; make it smaller" for path in photos[:2]),
        "2 of 3 photos skipped",
    ]
    assert sorted(path.name for path in (tmp_path / "segmented").iterdir()) == ["c-mask.png", "c-overlay.png"]


def test_ctrl_c_amid_the_photos_keeps_those_that_are_done(tmp_path, run, red, capsys, monkeypatch):
    """Even where TensorFlow makes another error of it."""
    from tfseg import predict

    photos, before, done = [photo(tmp_path / name) for name in ("a.png", "b.png")], predict.segment, []

    def segment_one(model, image, *options):
        if done:
            with contextlib.suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
            raise TypeError("in the middle")
        done.append(image)
        return before(model, image, *options)

    monkeypatch.setattr(predict, "segment", segment_one)
    in_the_background = signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored
    try:
        assert run(*photos, "--weights", red, "--out", tmp_path / "out") == 130
    finally:
        signal.signal(signal.SIGINT, in_the_background)
    assert capsys.readouterr().err == "interrupted: what is listed above is written\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-mask.png", "a-overlay.png"]


# Weights for the repository


def finished(folder, record):
    """A model's folder."""
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"weights")
    (folder / "record.json").write_text(record)
    return folder


@pytest.mark.parametrize(
    "folder, target, line",
    [
        ("absent", "new/pets", "absent does not hold both model.keras and record.json"),
        ("torn", "new/pets", "Can't read torn/record.json ("),
        ("judged", "new/pets", "judged/record.json does not say where the model's judge lies"),
        ("seed-0", "a file/new/pets", "Can't write to a file/new: Not a directory. Choose another folder with TARGET."),
        ("seed-0", "torn", "torn is a folder; add the name of the copies, such as torn/pets"),
        ("seed-0", "new/pets.keras", "new/pets.keras names one of the copies; leave .keras out"),
    ],
)
def test_a_bad_source_or_target_is_one_line_and_nothing_is_written(tmp_path, monkeypatch, folder, target, line):
    monkeypatch.chdir(tmp_path)
    for name, record in (("seed-0", "{}"), ("torn", '{"te'), ("judged", '{"judge": {}}')):
        finished(tmp_path / name, record)
    (tmp_path / "a file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=re.escape(line)):
        include(monkeypatch, folder, target)
    assert sorted(tmp_path.rglob("*")) == before
