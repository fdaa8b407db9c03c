import numpy as np
import pytest

from experiments.harness.running.schedules import OneCycle, averaging

SHORT = {"steps": 100, "warmup": 0.2}


@pytest.mark.parametrize(
    "schedule, expected",
    [
        (OneCycle(2.0, **SHORT), {0: 0.08, 10: (0.08 + 2) / 2, 20: 2, 60: (2 + 0.002) / 2, 100: 0.002}),
        (OneCycle(1.0, 120, 0.25), {10: 0.04 + 0.96 * (1 - np.cos(np.pi / 3)) / 2, 60: 1 - 0.999 / 4}),
        (OneCycle(1.0, 10), {10: 1e-3, 11: 1e-3, 10_000: 1e-3}),
        (OneCycle(1.0, 1), {0: 0.04, 1: 0.001}),
    ],
    ids=["corners and midpoints", "flanks are cosines", "past its end", "a single step"],
)
def test_one_cycle(schedule, expected):
    for found in (schedule, OneCycle.from_config(schedule.get_config())):
        assert {step: float(found(step)) for step in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("steps, momentum", [(1000, 0.9), (100, 0.9), (50, 0.8), (11, 1 / 11), (10, 0), (1, 0)])
def test_averages_span_a_tenth_of_the_training_at_most(steps, momentum):
    assert averaging(0.9, steps) == {"use_ema": momentum > 0, "ema_momentum": pytest.approx(momentum)}


def test_averages_that_are_allowed_more_or_are_not_wanted():
    assert averaging(0.999, 500, least=5)["ema_momentum"] == pytest.approx(0.99)
    assert not averaging(0.0, 10_000)["use_ema"]
