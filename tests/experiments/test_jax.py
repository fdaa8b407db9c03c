"""The second backend: the same weights predict the same, and all scripts run on it."""

import json

import numpy as np
import pytest

from tests.experiments.sessions import ROOT, SCRIPTS, read

pytestmark = pytest.mark.slow

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
keras.distribution.set_distribution(keras.distribution.DataParallel())
weights, logs = train(sys.argv[1] + "/cvae.keras", arrays["digits"], arrays["labels"])
np.savez(sys.argv[1] + "/trained.npz", weights=weights, logs=logs)
"""
)


def test_the_same_weights_predict_the_same_and_learn_the_same(tmp_path, disturb, python_on_jax):
    """Three steps of the CVAE, within its KL warm-up, shared out over two devices."""
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
    python_on_jax("-c", PREDICT, tmp_path)
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
    assert np.allclose(trained["weights"], weights, atol=1e-5) and np.allclose(trained["logs"], logs, rtol=1e-4)


OPTIONS = ["--preset", "smoke", "--epochs", "1", "--precision", "float32"]
MIRRORED = ["--variants", "strconv-ups-dice", "--epochs", "2", "--half-size", "0.5", "--strategy", "mirrored"]
COMMANDS = {  # the one on two devices last: they stay set up
    "cvae": ["cvae.py", "--data", "glyphs"],
    "nmt": ["nmt.py", "--data", "numbers"],
    "unet": ["run_unet_matrix.py", "--data", "shapes", *MIRRORED],
}
SCORES = {"cvae": "negative_elbo", "nmt": "bleu", "unet": "iou"}


def test_smoke_runs_end_with_scores(tmp_path, python_on_jax):
    commands = [
        [str(ROOT / "experiments" / script), *options, *OPTIONS, "--results", str(tmp_path)]
        for script, *options in COMMANDS.values()
    ]
    out = python_on_jax("-c", SCRIPTS, json.dumps(commands))
    assert "Keras on jax" in out and "shared out over 2 devices" in out
    for kind, score in SCORES.items():
        (path,) = (tmp_path / kind).rglob("record.json")
        record = read(path.parent)
        assert (record["hardware"]["backend"], record["hardware"]["replicas"]) == ("jax", 1 + (kind == "unet"))
        assert "jax" in record["versions"]
        assert record["sentences_per_second" if kind == "nmt" else "images_per_second"] > 0
        assert np.isfinite(record["test"][score])
        assert (path.parent / "model.keras").is_file()
