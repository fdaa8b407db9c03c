"""Two logical CPU devices share out a batch; set up before TensorFlow starts, they take a process of their own."""

import json
import shlex

import pytest

from tests.experiments.sessions import ROOT, SCRIPTS, read

pytestmark = pytest.mark.slow

TWO_DEVICES = """
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
recipe = dataclasses.replace(PRESETS["smoke"], dropout=0.0, variant=VARIANTS["strconv-ups-dice"])
largest = lambda values: float(np.abs(values).max())

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
print(json.dumps([largest(one), largest(one - two), largest(one - apart), logs_one, logs_two]), flush=True)
"""

COMMANDS = [
    "run_unet_matrix.py --data shapes --variants strconv-ups-dice --epochs 2 --half-size 0.5",
    "cvae.py --data glyphs --epochs 1",
]
OPTIONS = "--preset smoke --precision float32 --strategy mirrored"


def test_two_devices_train_as_one_does_and_runs_on_them_end_with_scores(tmp_path, python):
    """Three steps of a U-Net, with and without synchronized batch statistics; then both scripts."""
    commands = [shlex.split(f"{ROOT}/experiments/{command} {OPTIONS} --results {tmp_path}") for command in COMMANDS]
    out = python("-c", TWO_DEVICES + UNET_STEPS + SCRIPTS, json.dumps(commands))
    steps = next(line for line in out.splitlines() if line.startswith("["))
    moved, difference, apart, one, two = json.loads(steps)
    assert moved > 0.01 and difference < 1e-4
    assert apart > 10 * difference  # so the batches do differ, and synchronizing matters
    assert one == pytest.approx(two, rel=1e-3)

    assert "batches shared out over 2 devices" in out
    for kind in ("unet", "cvae"):
        (path,) = (tmp_path / kind).rglob("record.json")
        hardware = read(path.parent)["hardware"]
        assert (hardware["strategy"], hardware["replicas"]) == ("mirrored", 2)
        assert read(path.parent, "config.json")["shared"]["replicas"] == 2
