import keras
import numpy as np
import pytest

from experiments.harness.running.schedules import OneCycle


def rate(schedule, step):
    return float(schedule(step))


def test_corners_and_midpoints():
    schedule = OneCycle(peak=2.0, steps=100, warmup=0.2, start_divisor=10, end_divisor=1000)
    expected = {0: 0.2, 10: (0.2 + 2.0) / 2, 20: 2.0, 60: (2.0 + 0.002) / 2, 100: 0.002}
    assert {step: rate(schedule, step) for step in expected} == pytest.approx(expected, rel=1e-4)


def test_flanks_are_cosines():
    schedule = OneCycle(peak=1.0, steps=120, warmup=0.25, start_divisor=5, end_divisor=100)
    assert rate(schedule, 10) == pytest.approx(0.2 + 0.8 * (1 - np.cos(np.pi / 3)) / 2, rel=1e-5)
    assert rate(schedule, 60) == pytest.approx(1 - 0.99 * (1 - np.cos(np.pi / 3)) / 2, rel=1e-5)


def test_keeps_the_last_rate_past_its_end():
    schedule = OneCycle(peak=1.0, steps=10)
    assert [rate(schedule, step) for step in (10, 11, 10_000)] == pytest.approx([1e-3] * 3, rel=1e-4)


def test_a_single_step_starts_low():
    schedule = OneCycle(peak=1.0, steps=1)
    assert [rate(schedule, step) for step in (0, 1)] == pytest.approx([0.04, 0.001], rel=1e-4)


def test_goes_on_inside_a_saved_model(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(OneCycle(peak=1.0, steps=8, warmup=0.5)), "mse", jit_compile=False)
    model.fit(np.zeros((3, 1)), np.zeros((3, 1)), batch_size=1, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(rate(OneCycle(1.0, 8, 0.5), 3))
    model.save(tmp_path / "model.keras")
    optimizer = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert int(optimizer.iterations) == 3
    assert float(optimizer.learning_rate) == float(model.optimizer.learning_rate)
