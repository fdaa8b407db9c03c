"""The second backend: the same weights predict the same, and both scripts run on it. JAX is an optional extra."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.experiments.sessions import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed: pip install '.[jax]'"),
]

TRAIN = """
import keras, numpy as np, tensorflow as tf
import tfcvae.model

def train(path, digits, labels):
    rng = np.random.default_rng(0)
    noise = {"latents": rng.standard_normal((6, 8), "float32"), "pixels": rng.random(digits.shape, "float32")}
    model = keras.models.load_model(path)
    model.compile(keras.optimizers.SGD(1e-3), jit_compile="auto")
    batch = tf.data.Dataset.from_tensors(((digits, labels, noise),)).repeat(3)
    logs = model.fit(batch, verbose=0, shuffle=False).history
    weights = np.concatenate([np.ravel(weight) for weight in model.get_weights()])
    return weights, np.array([logs[name][0] for name in ("loss", "kl", "negative_elbo")])
"""

PREDICT = (
    TRAIN
    + """
import sys

assert keras.backend.backend() == "jax"
arrays = np.load(sys.argv[1] + "/arrays.npz")
unet = keras.models.load_model(sys.argv[1] + "/unet.keras")
cvae = keras.models.load_model(sys.argv[1] + "/cvae.keras")
np.savez(
    sys.argv[1] + "/jax.npz",
    unet=unet.predict_on_batch(arrays["photos"]),
    reconstructed=cvae.reconstruct(arrays["digits"], arrays["labels"]),
    relabelled=cvae.relabel(arrays["digits"], (arrays["labels"] + 1) % 10),
    sampled=cvae.sample(arrays["labels"], seed=1),
    elbo=cvae.elbo(arrays["digits"], arrays["labels"], samples=2, seed=1),
)
trained = {"one": train(sys.argv[1] + "/cvae.keras", arrays["digits"], arrays["labels"])}
keras.distribution.set_distribution(keras.distribution.DataParallel())
trained["two"] = train(sys.argv[1] + "/cvae.keras", arrays["digits"], arrays["labels"])
np.savez(
    sys.argv[1] + "/trained.npz", **{f"{name}_{what}": v for name, vs in trained.items() for what, v in enumerate(vs)}
)
"""
)


def python(*command, devices=1):
    env = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    env["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # compiling takes longer than all that is computed
    command = [sys.executable, *map(str, command)]
    done = subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


def test_the_same_weights_predict_the_same_and_learn_the_same(tmp_path, disturb):
    """Three steps of the CVAE, within its KL warm-up, on one device and shared out over two."""
    from tfcvae.model import CVAE
    from tfseg.unet import build_unet

    rng = np.random.default_rng(0)
    photos, digits = rng.random((2, 32, 32, 3), "float32"), (rng.random((6, 28, 28, 1)) < 0.3).astype("float32")
    labels = np.arange(6)
    unet = build_unet((32, 32, 3), filters=4, depth=2, down="strided", up="upsample")
    cvae = CVAE((28, 28, 1), 10, 8, "tiny", prior="class", kl_warmup_steps=6, free_bits=0.1)
    for model, name in ((unet, "unet"), (cvae, "cvae")):
        disturb(model)
        model.save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "arrays.npz", photos=photos, digits=digits, labels=labels)
    python("-c", PREDICT, tmp_path, devices=2)
    on_jax = np.load(tmp_path / "jax.npz")
    here = {
        "unet": unet.predict_on_batch(photos),
        "reconstructed": cvae.reconstruct(digits, labels),
        "relabelled": cvae.relabel(digits, (labels + 1) % 10),
        "sampled": cvae.sample(labels, seed=1),
        "elbo": cvae.elbo(digits, labels, samples=2, seed=1),
    }
    for name, expected in here.items():
        assert np.std(expected) > 1e-3, name
        assert np.allclose(on_jax[name], expected, rtol=1e-4, atol=1e-4), name
    scope = {}
    exec(TRAIN, scope)
    weights, logs = scope["train"](tmp_path / "cvae.keras", digits, labels)
    before = np.concatenate([np.ravel(weight) for weight in cvae.get_weights()])
    assert np.abs(weights - before).max() > 0.01
    trained = np.load(tmp_path / "trained.npz")
    for devices in ("one", "two"):
        assert np.allclose(trained[f"{devices}_0"], weights, atol=1e-5), devices
        assert np.allclose(trained[f"{devices}_1"], logs, rtol=1e-4), devices


@pytest.mark.parametrize(
    "script, data, devices",
    [
        ("run_unet_matrix.py", "shapes", 1),
        ("run_unet_matrix.py", "shapes", 2),
        ("cvae.py", "glyphs", 1),
        ("nmt.py", "numbers", 1),
    ],
    ids=["matrix", "matrix on two devices", "cvae", "nmt"],
)
def test_a_smoke_run_ends_with_scores(tmp_path, script, data, devices):
    options = ["--data", data, "--preset", "smoke", "--epochs", "1", "--precision", "float32", "--results", tmp_path]
    options += ["--variants", "strconv-ups-dice"] * (script == "run_unet_matrix.py")
    options += ["--strategy", "mirrored"] * (devices > 1)
    out = python(ROOT / "experiments" / script, *options, devices=devices)
    assert "Keras on jax" in out and ("shared out over 2 devices" in out) == (devices > 1)
    kind, score = {"cvae.py": ("cvae", "negative_elbo"), "nmt.py": ("nmt", "bleu")}.get(script, ("unet", "iou"))
    (path,) = (tmp_path / kind).rglob("record.json")
    record = json.loads(path.read_text())
    assert (record["hardware"]["backend"], record["hardware"]["replicas"]) == ("jax", devices)
    assert "jax" in record["versions"]
    assert record["sentences_per_second" if kind == "nmt" else "images_per_second"] > 0
    assert np.isfinite(record["test"][score])
    assert (path.parent / "model.keras").is_file()
