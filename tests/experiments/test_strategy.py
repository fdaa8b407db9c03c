"""Two logical CPU devices share out a batch; they are set up before TensorFlow starts, so each case is a process."""

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
from experiments.harness import hardware
from experiments.unets.recipes import PRESETS, VARIANTS
from experiments.unets.training import build_model
from tfseg.metrics import ForegroundIoU

rng = np.random.default_rng(0)
images = rng.random((24, 32, 32, 3), "float32") * np.linspace(0.1, 1, 24, dtype="float32")[:, None, None, None]
targets = (images[..., :1] > 0.3).astype("uint8")
batches = tf.data.Dataset.from_tensor_slices((images, targets)).batch(8)
recipe = dataclasses.replace(PRESETS["smoke"], dropout=0.0, variant=VARIANTS[sys.argv[1]])

def mirrored():
    return hardware._mirrored.__wrapped__()

def train(strategy, synchronized):
    with strategy.scope():
        model = build_model(recipe, 0, 3, synchronized=synchronized)
        model.compile(keras.optimizers.SGD(0.1), model.loss, metrics=[ForegroundIoU("foreground")], jit_compile=False)
    start = [np.array(w) for w in model.get_weights()]
    logs = model.fit(batches, verbose=0, shuffle=False).history
    moved = np.concatenate([np.ravel(b - a) for a, b in zip(start, model.get_weights(), strict=True)])
    return moved, {name: values[0] for name, values in logs.items()}

one, logs_one = train(tf.distribute.OneDeviceStrategy("CPU:0"), False)
two, logs_two = train(mirrored(), True)
apart, _ = train(mirrored(), False)
largest = lambda values: float(np.abs(values).max())
print(json.dumps([largest(one), largest(one - two), largest(one - apart), logs_one, logs_two]))
"""

SCRIPT = """
import runpy

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def python(code, *arguments):
    command = [sys.executable, "-c", TWO_DEVICES + code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("variant", ["mp-tr-bce", "strconv-ups-dice"])
def test_three_steps_of_a_unet_are_those_of_one_device_where_batch_statistics_are_synchronized(variant):
    moved, difference, apart, one, two = json.loads(python(UNET_STEPS, variant).splitlines()[-1])
    assert moved > 0.01 and difference < 1e-4
    assert apart > 10 * difference  # so the batches do differ, and synchronizing matters
    assert one == pytest.approx(two, rel=1e-3)


@pytest.mark.parametrize(
    "script, data", [("run_unet_matrix.py", "shapes"), ("cvae.py", "glyphs")], ids=["matrix", "cvae"]
)
def test_a_smoke_run_on_two_devices_ends_with_scores_and_is_told_apart(tmp_path, script, data):
    options = ["--data", data, "--preset", "smoke", "--precision", "float32", "--strategy", "mirrored"]
    options += ["--variants", "strconv-ups-dice"] * (script != "cvae.py")
    out = python(SCRIPT, ROOT / "experiments" / script, *options, "--results", tmp_path)
    assert "batches shared out over 2 devices" in out
    kind = "cvae" if script == "cvae.py" else "unet"
    (path,) = (tmp_path / kind).rglob("record.json")
    record = json.loads(path.read_text())
    assert (record["hardware"]["strategy"], record["hardware"]["replicas"]) == ("mirrored", 2)
    assert json.loads((path.parent / "config.json").read_text())["shared"]["replicas"] == 2
    again = python(SCRIPT, ROOT / "experiments" / script, *options, "--results", tmp_path)
    assert "seed 0: finished, kept" in again
