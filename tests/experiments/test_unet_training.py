"""The compiled models of U-Net trainings."""

import numpy as np
import pytest

from experiments.unets.recipes import make_recipe
from experiments.unets.training import build_model, of_one_size


def build(steps=1000, **overrides):
    return build_model(make_recipe("smoke", "scratch-tr-bce_dice", overrides), seed=0, steps=steps)


def test_an_encoder_with_a_rate_of_its_own_moves_so_much_less_and_does_not_decay():
    model = build(encoder_rate=0.1, one_cycle=False, learning_rate=0.01)
    variables = {variable.path: variable for variable in model.trainable_variables}
    before = {path: np.asarray(variable) for path, variable in variables.items()}
    model.optimizer.apply([np.ones(variable.shape, "float32") for variable in variables.values()])
    change = {path: np.asarray(variable) - before[path] for path, variable in variables.items()}
    moved = {path: values.mean() for path, values in change.items()}
    assert moved["encoder_stem_conv/kernel"] == pytest.approx(-0.001, rel=1e-3)  # the length of Adam's first step
    assert moved["encoder_block1_project_norm/gamma"] == pytest.approx(-0.001, rel=1e-3)
    assert moved["logits/bias"] == pytest.approx(-0.01, rel=1e-3)
    assert np.ptp(change["encoder_stem_conv/kernel"]) < 1e-6
    slope, step = np.polyfit(before["detail_conv1/kernel"].ravel(), change["detail_conv1/kernel"].ravel(), 1)
    assert step == pytest.approx(-0.01, rel=1e-3)
    assert slope == pytest.approx(-0.01 * make_recipe("smoke", "mp-tr-bce", {}).weight_decay, rel=1e-2)


def test_an_encoder_keeps_its_rate_without_weight_decay():
    optimizer = build(encoder_rate=0.1, weight_decay=0.0).optimizer
    assert optimizer.factors == {"encoder_": 0.1} and optimizer.weight_decay == 0


@pytest.mark.parametrize("steps, momentum", [(100, 0.9), (50, 0.8), (1, 0)])
def test_one_rate_for_all_by_default_and_averages_that_suit_the_training(steps, momentum):
    recipe = make_recipe("smoke", "mp-tr-bce", {"ema": 0.9, "filters": 1, "depth": 1})
    optimizer = build_model(recipe, 0, steps).optimizer
    assert optimizer.use_ema == (momentum > 0) and optimizer.ema_momentum == pytest.approx(momentum)
    assert optimizer.factors == {}


@pytest.mark.parametrize("variant", ["mp-tr-bce", "strconv-ups-dice"])
def test_a_model_that_trains_on_two_sizes_ends_as_one_of_the_larger(variant):
    recipe = make_recipe("smoke", variant, {"half_size": 0.5})
    model = build_model(recipe, 0, 10)
    assert model.input_shape == (None, None, None, 3)
    fixed = of_one_size(model, recipe)
    assert fixed.input_shape == (None, 32, 32, 3) and fixed.count_params() == model.count_params()
    image = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    np.testing.assert_allclose(fixed.predict(image, verbose=0), model.predict(image, verbose=0), atol=1e-5)
    assert build_model(make_recipe("smoke", variant, {}), 0, 10).input_shape == (None, 32, 32, 3)
