"""The same weights translate the same and learn the same on JAX, which is an optional extra."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tfnmt.model import Transformer

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed: pip install '.[jax]'"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, while it saves
]

COMPUTE = """
import keras, numpy as np
import tfnmt.model
from tfnmt.decoding import Beam, Greedy

def compute(path):
    model = keras.models.load_model(path)
    source = np.array([[5, 6, 7, 2, 0], [8, 2, 0, 0, 0]], "int32")
    inputs = {"source": source, "target": np.array([[1, 9, 10, 11], [1, 12, 0, 0]], "int32")}
    labels = np.array([[9, 10, 11, 2], [12, 2, 0, 0]], "int32")
    found = {"logits": np.array(model(inputs))}
    for name, search in (("greedy", Greedy(model)), ("beam", Beam(model, 3))):
        tokens, found[f"{name} scores"] = search.predict_on_batch(source)
        found[name] = tokens.astype("float32")
    model.compile(keras.optimizers.SGD(0.1), jit_compile="auto")
    logs = [model.train_on_batch(inputs, labels, return_dict=True) for _ in range(3)][-1]
    found["logs"] = np.array([logs[name] for name in ("loss", "cross_entropy", "accuracy")])
    return found | {f"weight {i}": weight for i, weight in enumerate(model.get_weights())}
"""

ON_JAX = (
    COMPUTE
    + """
import sys

assert keras.backend.backend() == "jax"
np.savez(sys.argv[1] + "/jax.npz", **compute(sys.argv[1] + "/model.keras"))
"""
)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_same_weights_translate_the_same_and_learn_the_same(tmp_path, norm):
    keras.utils.set_random_seed(3)
    model = Transformer(40, layers=2, width=16, heads=2, feed_forward=24, dropout=0.0, norm=norm)
    rng = np.random.default_rng(1)
    model.set_weights([w + 0.2 * rng.standard_normal(w.shape) for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, "-c", ON_JAX, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    scope = {}
    exec(COMPUTE, scope)
    here, on_jax = scope["compute"](tmp_path / "model.keras"), np.load(tmp_path / "jax.npz")
    assert np.abs(here["weight 0"] - model.get_weights()[0]).max() > 1e-3
    for name, expected in here.items():
        np.testing.assert_allclose(on_jax[name], expected, rtol=1e-3, atol=1e-4, err_msg=name)
