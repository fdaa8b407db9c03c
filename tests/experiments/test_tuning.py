"""Searches on a score that is a formula: what is tried, what a kill costs (nothing), what a failure does."""

import itertools
import json
import math

import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from experiments.harness.running.training import TrainingDiverged
from experiments.searches import oracles
from experiments.searches.oracles import EPOCHS, PROMOTED, make_oracle
from experiments.searches.search import TAG, Search


class Killed(BaseException):
    """As a kill would, this passes by every `except Exception`."""


def space():
    hp = keras_tuner.HyperParameters()
    hp.Choice("block", ["a", "b", "c"])
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Float("dropout", 0.0, 0.4, step=0.1)
    hp.Fixed(TAG, "")
    return hp


def score(values, epochs):
    """Best at block b, rate 1e-2, without dropout; grows with the epochs."""
    distance = abs(math.log10(values["rate"]) + 2)
    return {"a": 0.5, "b": 0.9, "c": 0.6}[values["block"]] - 0.1 * distance - 0.2 * values["dropout"] + 0.01 * epochs


class Session:
    """One start of a search, in this process."""

    def __init__(self, folder, tuner="hyperband", trials=0, max_epochs=9, seed=0, run=None, max_failures=3):
        self.oracle, self.plan = make_oracle(tuner, "val_x", "max", space(), max_epochs, trials, seed, max_failures)
        self.max_epochs, self.runs, self.other = max_epochs, [], run
        self.tuner = Search(self.oracle, folder, self.run, "", "alone")

    def run(self, trial, folder):
        values = trial.hyperparameters.values
        epochs = values.get(EPOCHS, self.max_epochs)
        self.runs.append(trial.trial_id)
        if self.other:
            self.other(trial)
        return {"score": score(values, epochs), "epoch": epochs, "seconds": 1.0}

    def search(self):
        self.tuner.search()
        return self

    def outcome(self):
        """Everything that counts of a search, by trial."""
        return {
            name: (trial.status, trial.score, trial.best_step, trial.hyperparameters.values)
            for name, trial in self.oracle.trials.items()
        }


def test_hyperband_runs_its_sweep_and_promotes_the_best(tmp_path):
    session = Session(tmp_path / "work").search()
    assert session.plan == 9 * [1] + 3 * [3] + [9] + 5 * [3] + 2 * [9] + 3 * [9]
    trials = list(session.oracle.trials.values())
    assert [trial.hyperparameters.values[EPOCHS] for trial in trials] == session.plan
    assert session.runs == [f"{n:04}" for n in range(len(session.plan))]
    first = sorted(trials[:9], key=lambda trial: -trial.score)
    assert [trial.hyperparameters.values[PROMOTED] for trial in trials[9:12]] == [t.trial_id for t in first[:3]]
    for trial in trials:
        assert trial.status == "COMPLETED"
        assert trial.score == score(trial.hyperparameters.values, trial.hyperparameters.values[EPOCHS])
    for promoted in trials[9:13]:
        values = promoted.hyperparameters.values
        past = session.oracle.trials[values[PROMOTED]].hyperparameters.values
        assert all(values[name] == past[name] for name in ("block", "rate", "dropout"))


@pytest.mark.parametrize(
    "tuner, trials, max_epochs, plan",
    [
        ("hyperband", 0, 3, [1, 1, 1, 3, 3, 3]),
        ("hyperband", 4, 3, [1, 1, 1, 3]),
        ("hyperband", 8, 3, [1, 1, 1, 3, 3, 3, 1, 1]),
        ("hyperband", 0, 1, [1]),
        ("random", 0, 3, 4 * [3]),  # 12 epochs, as Hyperband's sweep
        ("random", 0, 9, 10 * [9]),  # 94 epochs, as near as whole trials come
        ("bayesian", 2, 3, 2 * [3]),
    ],
)
def test_as_many_trials_as_planned(tmp_path, tuner, trials, max_epochs, plan):
    session = Session(tmp_path / "work", tuner, trials, max_epochs).search()
    assert session.plan == plan and len(session.oracle.trials) == len(plan)
    epochs = [t.hyperparameters.values.get(EPOCHS, max_epochs) for t in session.oracle.trials.values()]
    assert epochs == plan


def test_fewer_sweeps_than_were_made_end_at_once(tmp_path):
    before = Session(tmp_path / "work", "hyperband", 8, 3).search().outcome()  # a sweep of 6, and the next begun
    assert Session(tmp_path / "work", "hyperband", 0, 3).search().outcome() == before


def test_seeds_make_the_choices(tmp_path):
    one, same, other = (
        Session(tmp_path / str(n), "random", 3, seed=seed).search().outcome() for n, seed in enumerate((0, 0, 1))
    )
    assert one == same and one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def test_bayesian_search_learns_from_its_first_trials(tmp_path):
    session = Session(tmp_path / "work", "bayesian", 9, max_epochs=1).search()
    scores = [trial.score for trial in session.oracle.trials.values()]
    assert session.oracle.num_initial_points == 3
    assert np.mean(scores[3:]) > np.mean(scores[:3]) and max(scores[3:]) > max(scores[:3])


# Killed


def kill_at(monkeypatch, moment):
    """Kills the session right after so many writes of its state; at a half, instead of the next one."""
    count = itertools.count(1)

    def write(path, value, write_json=runs.write_json):
        now = next(count)
        if moment == now - 0.5:
            raise Killed
        write_json(path, value)
        if moment == now:
            raise Killed

    monkeypatch.setattr(oracles, "write_json", write)
    return count


@pytest.mark.parametrize(
    "tuner, trials, step",
    [
        ("hyperband", 0, 3),
        ("random", 4, 3),
        ("bayesian", 4, 15),  # a Gaussian process takes seconds
    ],
)
def test_a_kill_at_any_write_changes_nothing(tmp_path, monkeypatch, tuner, trials, step):
    options = {"tuner": tuner, "trials": trials, "max_epochs": 3}
    whole = Session(tmp_path / "whole", **options)
    count = kill_at(monkeypatch, math.inf)
    reference = whole.search().outcome()
    writes = next(count) - 1
    assert writes > 4 * len(reference)
    for half in range(1, 2 * writes + 1, step):
        folder = tmp_path / str(half)
        kill_at(monkeypatch, half / 2)
        first = Session(folder, **options)
        with pytest.raises(Killed):
            first.search()
        kill_at(monkeypatch, math.inf)
        second = Session(folder, **options).search()
        assert second.outcome() == reference, half
        again = set(first.runs) & set(second.runs)
        assert set(first.runs) | set(second.runs) == set(reference) and len(again) <= 1, half
        assert sorted(second.oracle.end_order) == sorted(reference), half
        assert second.oracle.ongoing_trials == {} and second.oracle._retry_queue == []


def test_a_finished_search_runs_nothing_and_goes_on_when_more_is_asked_for(tmp_path):
    for tuner in ("random", "hyperband"):
        Session(tmp_path / tuner, tuner, trials=6, max_epochs=3).search()
        assert Session(tmp_path / tuner, tuner, trials=6, max_epochs=3).search().runs == []
        more = Session(tmp_path / tuner, tuner, trials=8, max_epochs=3).search()
        assert [int(name) for name in more.runs] == [6, 7] and len(more.oracle.trials) == 8


def test_unreadable_state_is_named(tmp_path):
    Session(tmp_path / "work", "random", 1).search()
    (tmp_path / "work" / "oracle.json").write_text('{"ongoing')
    with pytest.raises(UserError, match=r"Can't read the search in .*work .*--force"):
        Session(tmp_path / "work", "random", 1)


# Failures


def out_of_memory(trial):
    tf.zeros((2**23, 2**23))  # 256 TiB, more than an address space has


def diverge(trial):
    raise TrainingDiverged("the loss became nan at step 3 of epoch 1")


def reason(trial):
    return json.loads(trial.message)["failure"]


@pytest.mark.parametrize(
    "fail, begins",
    [(out_of_memory, "ResourceExhaustedError: OOM when all"), (diverge, "TrainingDiverged: the loss")],
)
def test_a_failed_trial_is_recorded_and_the_search_goes_on(tmp_path, fail, begins):
    def run(trial):
        if trial.trial_id == "1":
            fail(trial)

    session = Session(tmp_path / "work", "random", 4, run=run).search()
    trials = session.oracle.trials
    assert [trial.status for trial in trials.values()] == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    assert reason(trials["1"]).startswith(begins) and trials["1"].score is None
    assert "1" not in [trial.trial_id for trial in session.oracle.get_best_trials(3)]
    assert not session.oracle.gave_up()
    later = Session(tmp_path / "work", "random", 4).search()  # it isn't tried again
    assert later.runs == [] and reason(later.oracle.trials["1"]) == reason(trials["1"])


def test_hyperband_promotes_as_many_where_trials_fail(tmp_path):
    failing = [f"{n:04}" for n in (0, 2, 4, 6, 8)]  # of the first nine, of which three are promoted

    def run(trial):
        if trial.trial_id in failing:
            diverge(trial)

    session = Session(tmp_path / "work", run=run).search()
    trials = list(session.oracle.trials.values())
    assert [t.hyperparameters.values[EPOCHS] for t in trials] == session.plan
    assert not {t.hyperparameters.values.get(PROMOTED) for t in trials} & set(failing)
    assert [t.trial_id for t in trials if (t.status, t.score) == ("FAILED", None)] == failing
    assert Session(tmp_path / "work").oracle.is_finished()


def test_failures_in_a_row_end_the_search_and_a_larger_limit_goes_on(tmp_path):
    def run(trial):
        if trial.trial_id in "0 2 3 4":
            diverge(trial)

    options = {"tuner": "random", "trials": 7, "run": run}
    session = Session(tmp_path / "work", **options).search()
    assert session.runs == ["0", "1", "2", "3", "4"] and session.oracle.gave_up()
    again = Session(tmp_path / "work", **options).search()
    assert again.runs == [] and again.oracle.gave_up() and again.oracle.is_finished()
    more = Session(tmp_path / "work", **options, max_failures=4).search()
    assert more.runs == ["5", "6"] and not more.oracle.gave_up()


@pytest.mark.parametrize("error", [UserError("damaged data"), OSError(28, "No space left on device")])
def test_what_no_other_trial_would_survive_ends_the_search(tmp_path, error):
    def run(trial):
        raise error

    with pytest.raises(type(error)):
        Session(tmp_path / "work", "random", 3, run=run).search()
    assert Session(tmp_path / "work", "random", 3).search().runs == ["0", "1", "2"]  # the trial was not to blame


@pytest.mark.parametrize("tuner", ["hyperband", "random"])
def test_fewer_trials_than_were_begun_leave_out_the_one_that_was_going_on(tmp_path, tuner):
    def kill(trial):
        if trial.trial_id == "11":
            raise Killed

    with pytest.raises(Killed):
        Session(tmp_path / "work", tuner, 12, run=kill).search()
    fewer = Session(tmp_path / "work", tuner, 11).search()
    assert fewer.runs == [] and len(fewer.oracle.trials) == 11 and fewer.oracle.is_finished()
    more = Session(tmp_path / "work", tuner, 13).search()
    assert more.runs == ["11", "12"] and more.oracle.end_order == [f"{n:02}" for n in range(13)]
    if tuner == "hyperband":
        assert more.outcome() == Session(tmp_path / "whole", tuner, 13).search().outcome()
