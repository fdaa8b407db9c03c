"""How models are traded off: which points, in which order, against which goals; the table beside them."""

import pytest

from experiments.cvaes.tradeoff import AIM, MARK, reached, trade_off
from tests.experiments.cvae_records import colour_record, energy_record, make_record, summary
from tests.experiments.markdown import cells, column, titles

POINTS = {"features": (0.82, 0.5), "density": (0.02, 0.95), "plain": (0.04, 0.7)}


@pytest.fixture
def traded():
    records = [energy_record("control", a=0.84, retention=0.8, adversary_weight=50.0, wrong_label_share=0.5)]
    records += [colour_record(name, a=a, retention=retention) for name, (a, retention) in POINTS.items()]
    records[2]["config"] |= {"latent_shape": [8, 8, 16], "kl_weight": 4.0, "label_dim": 64}
    return records


def part(text):
    return text[text.index("Label control against") :]


def test_models_are_sorted_by_control_on_validation(tmp_path, traded):
    traded[1]["test"]["relabel"]["readings"]["a"]["accuracy"] = 0.99  # of the test split, which decides nothing
    traded[2]["validation"]["negative_elbo"] = 11_000.0
    second = energy_record("control", seed=1, a=0.88, retention=0.82, adversary_weight=50.0, wrong_label_share=0.5)
    text = part(summary(tmp_path, *traded, second))
    rows = [line for line in text.split("!")[0].splitlines() if line.startswith("|")]
    assert [cells(row)[0] for row in rows[2:6]] == ["**`control`** ★", "`features`", "`plain`", "`density`"]
    assert column(text, r"**`control`** ★", "validation (a)") == "88.0 ± 2.0"
    assert column(text, r"**`control`** ★", "test (a)") == "86.0 ± 2.0"
    assert column(text, r"**`control`** ★", "validation retention") == "83.0 ± 1.0"
    assert column(text, r"**`control`** ★", "test bits/dim") == column(text, r"**`control`** ★", "validation bits/dim")
    assert column(text, r"**`control`** ★", "adversary") == "50" and column(text, "`density`", "KL weight") == "4"
    assert column(text, "`density`", "test bits/dim") == "4.700"
    assert column(text, "`density`", "validation bits/dim") == "5.170"  # 4.7 * 1.1
    assert column(text, "`plain`", "validation ignored") == "1.0"  # (1 - 0.91) / 9
    assert column(text, "`density`", "latent") == "8 x 8 x 16" and column(text, "`density`", "label dim") == "64"
    assert "network" not in titles(text, "label dim")


def test_goals_are_reached_in_both_numbers_on_validation_images(traded):
    points = trade_off(traded)  # of control 0.86 and 0.82
    assert reached(points, MARK) == ["control"] and reached(points, AIM) == []
    traded[0]["validation"]["relabel"]["readings"]["a"] |= {"accuracy": 0.9, "retention": 0.9}
    assert reached(trade_off(traded), AIM) == ["control"]
    traded[0]["validation"]["relabel"]["readings"]["a"]["retention"] = 0.7
    assert reached(trade_off(traded), MARK) == []


def test_points_are_means_of_the_validation_scores(traded):
    points = {point["name"]: point for point in trade_off(traded)}
    assert points["control"]["chosen"] and not points["density"]["chosen"]
    assert points["features"]["relabel_a"] == pytest.approx(0.84)
    assert points["features"]["retention"] == pytest.approx(0.52)
    assert points["density"]["milliseconds"] == pytest.approx(1000 / 916.7)
    assert trade_off(traded[:1]) == [] and trade_off([make_record(), make_record("other")]) == []
