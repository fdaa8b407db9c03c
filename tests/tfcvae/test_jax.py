"""Training with wrong labels, an adversary and averaged weights is the same on JAX."""

import keras
import numpy as np
import pytest

from tests.tfcvae.control import flat, untrained_features

pytestmark = pytest.mark.slow

SETUP = """
import sys
import keras, numpy as np, tensorflow as tf
from tests.tfcvae.control import FULL, batch, build, flat, given_noise
from tfcvae.label_control import LabelControl

def compiled(folder, policy):
    model = build(
        keras.models.load_model(folder + "/features.keras"), FULL,
        keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.5), keras.optimizers.Adam(1e-3), policy,
        kl_warmup_steps=6, free_bits=0.01,
    )
    weights = np.load(folder + "/weights.npz")
    for variables, name in ((model.trainable_variables, "model"), (model.helpers.adversary.variables, "adversary")):
        for i, variable in enumerate(variables):
            variable.assign(weights[f"{name}{i}"])
    model.optimizer.build(model.trainable_variables)
    return model

def batches():
    steps = [((*batch(seed=seed), given_noise(seed=seed)),) for seed in range(3)]
    return tf.data.Dataset.from_tensor_slices(keras.tree.map_structure(lambda *x: np.stack(x), *steps))

def state(model, logs):
    parts = {"model": model.trainable_variables, "optimizer": model.optimizer.variables}
    parts |= {"adversary": model.helpers.adversary.variables, "its optimizer": model.helpers.optimizer.variables}
    names = ("loss", "kl", "classifier", "layout", "realism", "adversary")
    values = {name: flat(variables) for name, variables in parts.items()}
    return values | {"steps": flat([model.steps_done]), "logs": np.array([logs[name] for name in names])}

def fitted(folder, policy, data):
    model = compiled(folder, policy)
    history = model.fit(data, verbose=0, shuffle=False).history
    return model, state(model, {name: values[0] for name, values in history.items()})

def loss_in_pixels(folder):
    control = LabelControl(0.5, reconstruct_all=True, classifier_weight=3.0, view_noise=0.1)
    choices = {"likelihood": "bernoulli_grey", "posterior": "full"}
    model = build(keras.models.load_model(folder + "/features.keras"), control, **choices)
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(0.3 * random.standard_normal(variable.shape))
    return float(model.training_loss(*batch(), given_noise())[0])
"""

ON_JAX = (
    SETUP
    + """
from experiments.harness.running.several_steps import SeveralSteps

class Epochs:
    def epoch(self, number):
        return batches()

assert keras.backend.backend() == "jax"
folder = sys.argv[1]
model, result = fitted(folder, "float32", batches())
np.savez(folder + "/fit.npz", **result)
evaluated = model.evaluate(batches(), verbose=0, return_dict=True)
np.savez(folder + "/evaluated.npz", **evaluated)
model = compiled(folder, "float32")
several = SeveralSteps(model, steps=2)
(stacks,) = several.epochs(Epochs(), range(1))
logs = several.run(stacks)
model.optimizer.finalize_variable_values(model.trainable_variables)  # the averages, as `fit` does at its end
np.savez(folder + "/several.npz", **state(model, logs))
_, result = fitted(folder, "mixed_float16", batches().map(lambda inputs: (inputs[:2],)))  # with noise of its own
np.savez(folder + "/half.npz", **result)
np.savez(folder + "/pixels.npz", loss=loss_in_pixels(folder))
"""
)


def test_three_steps_on_jax_are_those_on_tensorflow(tmp_path, python_on_jax):
    scope = {}
    exec(SETUP, scope)
    features = untrained_features()
    features.save(tmp_path / "features.keras")
    start = scope["build"](features)
    groups = {"model": start.trainable_variables, "adversary": start.helpers.adversary.variables}
    np.savez(
        tmp_path / "weights.npz",
        **{f"{name}{i}": keras.ops.convert_to_numpy(v) for name, group in groups.items() for i, v in enumerate(group)},
    )
    python_on_jax("-c", ON_JAX, tmp_path)

    model, here = scope["fitted"](str(tmp_path), "float32", scope["batches"]())
    for name, group in groups.items():
        assert np.abs(here[name] - flat(group)).max() > 1e-3, name
    on_jax = {name: np.load(tmp_path / f"{name}.npz") for name in ("fit", "several", "half", "evaluated", "pixels")}
    for way in ("fit", "several"):
        for name, expected in here.items():
            assert on_jax[way][name].shape == expected.shape, (way, name)
            assert np.allclose(on_jax[way][name], expected, rtol=2e-3, atol=2e-4), (way, name)
    evaluated = model.evaluate(scope["batches"](), verbose=0, return_dict=True)
    assert {name: float(value) for name, value in on_jax["evaluated"].items()} == pytest.approx(evaluated, rel=1e-3)
    for name in ("model", "adversary"):
        change = on_jax["half"][name] - flat(groups[name])
        assert np.isfinite(change).all() and np.abs(change).max() > 1e-3, name
    assert on_jax["half"]["steps"] == [3]
    assert float(on_jax["pixels"]["loss"]) == pytest.approx(scope["loss_in_pixels"](str(tmp_path)), rel=1e-4)
