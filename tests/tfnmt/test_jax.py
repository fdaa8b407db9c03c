"""The same weights translate the same and learn the same on JAX."""

import keras
import numpy as np
import pytest

from tfnmt.model import Transformer

pytestmark = pytest.mark.slow

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
    searches = {"greedy": Greedy(model), "anew": Greedy(model, kept=False), "one": Beam(model, 1)}
    searches |= {"beam": Beam(model, 3), "beam anew": Beam(model, 3, kept=False)}
    for name, search in searches.items():
        tokens, found[f"{name} scores"] = search.predict_on_batch(source)
        found[name] = tokens.astype("float32")
    model.compile(keras.optimizers.SGD(0.1), jit_compile="auto")
    logs = [model.train_on_batch(inputs, labels, return_dict=True) for _ in range(3)][-1]
    found["logs"] = np.array([logs[name] for name in ("loss", "cross_entropy", "accuracy")])
    return found | {f"weight {i}": weight for i, weight in enumerate(model.get_weights())}
"""

ON_JAX = """
import sys

assert keras.backend.backend() == "jax"
for norm in ("pre", "post"):
    np.savez(f"{sys.argv[1]}/{norm}.npz", **compute(f"{sys.argv[1]}/{norm}.keras"))
"""


def test_the_same_weights_translate_the_same_and_learn_the_same(tmp_path, python_on_jax):
    rng, start = np.random.default_rng(1), {}
    for norm in ("pre", "post"):
        keras.utils.set_random_seed(3)
        model = Transformer(40, layers=2, width=16, heads=2, feed_forward=24, dropout=0.0, norm=norm)
        model.set_weights([w + 0.2 * rng.standard_normal(w.shape) for w in model.get_weights()])
        model.save(tmp_path / f"{norm}.keras")
        start[norm] = model.get_weights()[0]
    python_on_jax("-c", COMPUTE + ON_JAX, tmp_path)
    scope = {}
    exec(COMPUTE, scope)
    for norm, weights in start.items():
        here, on_jax = scope["compute"](tmp_path / f"{norm}.keras"), np.load(tmp_path / f"{norm}.npz")
        assert np.abs(here["weight 0"] - weights).max() > 1e-3
        for name, other in (("greedy", "anew"), ("greedy", "one"), ("beam", "beam anew")):
            assert np.array_equal(on_jax[name], on_jax[other])  # with keys and values kept and without; a beam of 1
        for name, expected in here.items():
            np.testing.assert_allclose(on_jax[name], expected, rtol=1e-3, atol=1e-4, err_msg=f"{norm} {name}")
