"""Two logical CPU devices share out a batch; they are set up before TensorFlow starts, so this takes processes of
their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

TWO_DEVICES = """
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""

UNET_STEPS = """
import dataclasses, json
import keras, numpy as np
from experiments.harness.running import hardware
from experiments.unets.recipes import PRESETS, VARIANTS
from experiments.unets.training import build_model
from tfseg.metrics import ForegroundIoU

rng = np.random.default_rng(0)
images = rng.random((24, 32, 32, 3), "float32") * np.linspace(0.1, 1, 24, dtype="float32")[:, None, None, None]
targets = (images[..., :1] > 0.3).astype("uint8")
batches = tf.data.Dataset.from_tensor_slices((images, targets)).batch(8)
largest = lambda values: float(np.abs(values).max())

def mirrored():
    return hardware._mirrored.__wrapped__()

def train(recipe, strategy, synchronized):
    with strategy.scope():
        model = build_model(recipe, 0, 3, synchronized=synchronized)
        model.compile(keras.optimizers.SGD(0.1), model.loss, metrics=[ForegroundIoU("foreground")], jit_compile=False)
    start = [np.array(w) for w in model.get_weights()]
    logs = model.fit(batches, verbose=0, shuffle=False).history
    moved = np.concatenate([np.ravel(b - a) for a, b in zip(start, model.get_weights(), strict=True)])
    return moved, {name: values[0] for name, values in logs.items()}

for variant in sys.argv[1:]:
    recipe = dataclasses.replace(PRESETS["smoke"], dropout=0.0, variant=VARIANTS[variant])
    one, logs_one = train(recipe, tf.distribute.OneDeviceStrategy("CPU:0"), False)
    two, logs_two = train(recipe, mirrored(), True)
    apart, _ = train(recipe, mirrored(), False)
    print(json.dumps([largest(one), largest(one - two), largest(one - apart), logs_one, logs_two]))
"""

SCRIPT = """
import runpy

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(code, *arguments):
    command = [sys.executable, "-c", TWO_DEVICES + code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def python(code, *arguments):
    done = run(code, *arguments)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


def test_three_steps_of_a_unet_are_those_of_one_device_where_batch_statistics_are_synchronized():
    variants = ["mp-tr-bce", "strconv-ups-dice"]
    lines = python(UNET_STEPS, *variants).splitlines()[-2:]
    for variant, line in zip(variants, lines, strict=True):
        moved, difference, apart, one, two = json.loads(line)
        assert moved > 0.01 and difference < 1e-4, variant
        assert apart > 10 * difference, variant  # so the batches do differ, and synchronizing matters
        assert one == pytest.approx(two, rel=1e-3), variant


@pytest.mark.parametrize(
    "script, data", [("run_unet_matrix.py", "shapes"), ("cvae.py", "glyphs")], ids=["matrix", "cvae"]
)
def test_a_smoke_run_on_two_devices_ends_with_scores_and_is_told_apart(tmp_path, script, data):
    options = ["--data", data, "--preset", "smoke", "--epochs", "1", "--precision", "float32"]
    options += ["--strategy", "mirrored", *["--variants", "strconv-ups-dice"] * (script != "cvae.py")]
    out = python(SCRIPT, ROOT / "experiments" / script, *options, "--results", tmp_path)
    assert "batches shared out over 2 devices" in out
    kind = "cvae" if script == "cvae.py" else "unet"
    (path,) = (tmp_path / kind).rglob("record.json")
    record = json.loads(path.read_text())
    assert (record["hardware"]["strategy"], record["hardware"]["replicas"]) == ("mirrored", 2)
    assert json.loads((path.parent / "config.json").read_text())["shared"]["replicas"] == 2


@pytest.mark.parametrize(
    "script, data, model", [("run_unet_matrix.py", "shapes", "unet mp-tr-bce"), ("cvae.py", "glyphs", "cvae standard")]
)
def test_a_batch_that_two_devices_cannot_share_is_one_line_before_anything_is_trained(tmp_path, script, data, model):
    options = ["--data", data, "--preset", "smoke", "--strategy", "mirrored", "--batch-size", "7"]
    done = run(SCRIPT, ROOT / "experiments" / script, *options, "--results", tmp_path)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(
        f"error: {model}: 2 devices can't share batches of 7 images evenly. Choose a --batch-size "
    )
    assert "Traceback" not in done.stderr and list(tmp_path.iterdir()) == []
