import keras
import numpy as np
import pytest

from tfseg.optimizers import RatedAdamW


def small_model(optimizer):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    x = keras.layers.Dense(4, name="encoder_a")(inputs)
    x = keras.layers.Dense(4, name="encoder_b")(x)
    model = keras.Model(inputs, keras.layers.Dense(1, name="decoder", dtype="float32")(x))
    model.compile(optimizer, "mse", jit_compile=False)
    return model


def data(seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(8, 3)).astype("float32"), random.normal(size=(8, 1)).astype("float32")


def steps(optimizer, count=1):
    """How far each layer's kernel went."""
    model = small_model(optimizer)
    before = {layer.name: np.array(layer.kernel) for layer in model.layers[1:]}
    for _ in range(count):
        model.train_on_batch(*data())
    return {layer.name: np.array(layer.kernel) - before[layer.name] for layer in model.layers[1:]}


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_first_steps_are_in_proportion_to_the_factors(policy):
    """Adam's first step is as long as the rate, whatever the gradient."""
    keras.config.set_dtype_policy(policy)
    moved = steps(RatedAdamW(0.01, weight_decay=0.0, factors={"encoder_": 0.1, "encoder_b": 0.0}))
    for name, length in {"encoder_a": 0.001, "encoder_b": 0.0, "decoder": 0.01}.items():
        assert np.abs(moved[name]) == pytest.approx(length, rel=1e-2), name


def test_without_factors_it_is_adamw():
    ours, theirs = steps(RatedAdamW(0.01), 3), steps(keras.optimizers.AdamW(0.01), 3)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_saved_and_loaded_it_goes_on_exactly(tmp_path):
    model = small_model(RatedAdamW(0.01, factors={"encoder_": 0.1}))
    model.train_on_batch(*data())
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert again.optimizer.factors == {"encoder_": 0.1}
    for one in (model, again):
        one.train_on_batch(*data(1))
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
