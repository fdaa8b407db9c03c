"""Keras Tuner's oracles (who decides what to try next), made safe against kills and failing trials.

Keras Tuner 1.4.8 by itself writes its state in place, so that a kill can tear it; loses a trial when it is killed
while it begins one, and trains a finished one again when it is killed while it ends one; and raises out of a lock when
several trials in a row have failed. Here every file is replaced atomically, a reload takes the files as one state, and
a search whose trials keep failing stops like one that is finished.
"""

import json
import warnings
from pathlib import Path

import keras_tuner
import numpy as np
from keras_tuner.engine.hyperparameters import Choice
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import BayesianOptimizationOracle, HyperbandOracle, RandomSearchOracle

from experiments.harness.running.runs import write_json

EPOCHS, PROMOTED = "tuner/epochs", "tuner/trial_id"
"""Values that Hyperband adds to a trial's: how long to train it, and which trial it is promoted from."""

REPORT = "report"
"""A value that the tuner adds to a trial's when it ends: JSON, what is to be remembered of it. It becomes the trial's
`message`, which doesn't travel from workers to the chief by itself."""

_ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)


class _Durable:
    """What all oracles have in common; goes before an oracle in the list of bases.

    Attributes:
        on_end: called with each trial that has ended.
    """

    on_end = None

    def save(self):
        write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial):
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self):
        """Reads the files of an earlier session.

        A trial is written before the oracle's own state. One that the state doesn't know was only about to begin: it is
        forgotten, and drawn again. One that the state takes for ongoing although it has ended isn't run again. Those
        that were really going on are the first to run, but for one that is more than are now asked for, which is
        forgotten too.
        """
        super().reload()
        begun = set(self.start_order)
        self.trials = {name: trial for name, trial in sorted(self.trials.items(), key=number) if name in begun}
        for name in self._retry_queue:
            if self.trials[name].status in _ENDED and name not in self.end_order:
                self.end_order.append(name)
        self._retry_queue = [name for name in self._retry_queue if name not in self.end_order]
        surplus = self.start_order[self.max_trials :] if self.max_trials else []
        for name in [name for name in surplus if name in self._retry_queue]:
            self._forget(name)

    def _forget(self, name):
        """Makes a trial one that has never begun."""
        self._retry_queue.remove(name)
        self.start_order.remove(name)
        del self.trials[name]

    def populate_space(self, trial_id):
        if self.gave_up():
            return {"status": TrialStatus.STOPPED}
        return super().populate_space(trial_id)

    def is_finished(self):
        """Whether nothing is left to run: no worker that asked would get a trial."""
        if self._retry_queue or self.ongoing_trials:
            return False
        if self.max_trials and len(self.trials) >= self.max_trials:
            return True
        state = json.loads(json.dumps(self.get_state()))
        answer = self.populate_space("")
        self.set_state(state)  # nobody has asked
        return answer["status"] == TrialStatus.STOPPED

    def gave_up(self):
        """Whether the last trials that ended, `max_consecutive_failed_trials` of them, have all failed."""
        last = self.end_order[-self.max_consecutive_failed_trials :]
        failed = [name for name in last if self.trials[name].status == TrialStatus.FAILED]
        return len(failed) == self.max_consecutive_failed_trials

    def _check_consecutive_failures(self):
        """Keras Tuner raises here; see `gave_up`."""

    @keras_tuner.synchronized
    def update_trial(self, trial_id, metrics, step=0):
        if trial_id not in self.trials:  # of a search that `--force` has replaced; an error would keep the lock
            return Trial(self.get_space(), trial_id)
        return super().update_trial(trial_id, metrics, step)

    @keras_tuner.synchronized
    def end_trial(self, trial):
        if trial.trial_id not in self.trials:
            return
        own = self.trials[trial.trial_id]
        if trial.trial_id in self.end_order:  # after the chief was started again, two workers may have had it
            self.ongoing_trials = {k: t for k, t in self.ongoing_trials.items() if t.trial_id != trial.trial_id}
            return
        report = trial.hyperparameters.values.pop(REPORT, None)
        trial.hyperparameters, trial.message = own.hyperparameters, report
        super().end_trial(trial)
        if trial.trial_id in self._retry_queue:  # handed in by who had it before the chief was started again
            self._retry_queue.remove(trial.trial_id)
        if self.on_end:
            self.on_end(own)


class Random(_Durable, RandomSearchOracle):
    """Independent trials."""


class Bayesian(_Durable, BayesianOptimizationOracle):
    """Trials where a Gaussian process expects the most; the first ones are random."""

    def populate_space(self, trial_id):
        from threadpoolctl import threadpool_limits

        self._random_state = np.random.RandomState([self.seed, len(self.trials)])  # the state isn't saved
        with warnings.catch_warnings(), threadpool_limits(1):  # on matrices this small, more threads are slower
            warnings.simplefilter("ignore")  # of the fit to a handful of points
            return super().populate_space(trial_id)


class Hyperband(_Durable, HyperbandOracle):
    """Many short trials, of which the best are tried again for longer (Li et al. 2018)."""

    def populate_space(self, trial_id):
        """As in Keras Tuner, but failed trials count as the worst: it waits for their scores, and so promotes fewer."""
        failed = [trial for trial in self.trials.values() if trial.status == TrialStatus.FAILED]
        for trial in failed:
            trial.status, trial.score = TrialStatus.COMPLETED, -np.inf if self.objective.direction == "max" else np.inf
        if self._current_iteration >= self.hyperband_iterations:  # an earlier command asked for more sweeps
            answer = {"status": "IDLE" if self.ongoing_trials else "STOPPED", "values": None}
        else:
            answer = super().populate_space(trial_id)
        for trial in failed:
            trial.status, trial.score = TrialStatus.FAILED, None
        return answer

    def set_state(self, state):
        super().set_state(state | {"hyperband_iterations": self.hyperband_iterations})  # more may be asked for now

    def _forget(self, name):
        super()._forget(name)
        for bracket in self._brackets:
            bracket["rounds"] = [[info for info in begun if info["id"] != name] for begun in bracket["rounds"]]

    def sweep(self):
        """The epochs of each trial in one sweep over all brackets, in the order of a search that has one worker."""
        rounds = [(b, r) for b in reversed(range(self._get_num_brackets())) for r in range(b + 1)]
        return [self._get_epochs(b, r) for b, r in rounds for _ in range(self._get_size(b, r))]


def number(item):
    """Sort key of `(trial_id, trial)`: the trial's number, from 0."""
    return int(item[0])


def make_oracle(tuner, objective, direction, space, max_epochs, trials=0, seed=0, max_failures=3):
    """Builds an oracle, and says what it will do: `(oracle, plan)`; `plan` lists the epochs of each trial, in order.

    Args:
        tuner: `"hyperband"`, `"bayesian"` or `"random"`.
        objective, direction: name of the score, and whether `"max"` or `"min"` is best.
        space: `keras_tuner.HyperParameters` with everything to tune.
        max_epochs: epochs of the longest trial; with a tuner other than Hyperband, of every trial.
        trials: how many at most; 0 for one sweep of Hyperband, and as many epochs in all for the others.
        seed: of the choices, at least 0.
        max_failures: so many failed trials in a row end the search.
    """
    common = {
        "objective": keras_tuner.Objective(objective, direction),
        "hyperparameters": space,
        "tune_new_entries": False,
        "seed": seed + 1,  # Keras Tuner takes 0 for none
        "max_consecutive_failed_trials": max_failures,
    }
    oracle = Hyperband(max_epochs=max_epochs, **common)
    sweep = oracle.sweep()
    if tuner == "hyperband":
        plan = sweep
        if trials:
            oracle.max_trials = trials
            oracle.hyperband_iterations = -(-trials // len(sweep))
            plan = (sweep * oracle.hyperband_iterations)[:trials]
    else:
        trials = trials or max(3, round(sum(sweep) / max_epochs))
        plan = [max_epochs] * trials
        if tuner == "random":
            oracle = Random(max_trials=trials, **common)
        else:
            initial = max(3, min(3 * len(space.space), trials // 3))
            oracle = Bayesian(max_trials=trials, num_initial_points=initial, **common)
    oracle.verbose = 0
    return oracle, plan


def describe_space(space):
    """The ranges of a space's hyperparameters: `choices`, or `min`, `max`, `step` and whether on a `log` scale.

    The space is of `Choice`, `Int` and `Float`; the result is a JSON-like dictionary by name.
    """
    told = {}
    for hp in space.space:
        if isinstance(hp, Choice):
            told[hp.name] = {"choices": list(hp.values)}
        else:
            told[hp.name] = {"min": hp.min_value, "max": hp.max_value, "step": hp.step, "log": hp.sampling == "log"}
    return told


def range_text(told):
    """A range of `describe_space` in words."""
    if "choices" in told:
        return ", ".join(map(str, told["choices"]))
    step = f", in steps of {told['step']:g}" if told["step"] else ""
    return f"{told['min']:g} to {told['max']:g}{step}{', on a logarithmic scale' * told['log']}"
