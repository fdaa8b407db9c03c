"""The part of Keras Tuner's search that runs trials, alone or as one of several workers under a chief."""

import json
import os
import time
from pathlib import Path

from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from experiments.harness.running.errors import UserError, first_line
from experiments.searches.oracles import REPORT

TAG = "search"
"""Name of a fixed hyperparameter that says which search this is, so that no worker joins another one's chief."""

CHECKPOINT = "checkpoint.npz"
"""In a trial's folder, where `run` may leave it; deleted when the trial has ended."""

IDLE_SECONDS = 1  # between questions for a trial where none can begin before others end

FIRST_CONTACT = 600
"""Seconds that a worker waits for a chief it has not met, so that all processes may start in any order."""

LATER_CONTACT = 3600
"""Seconds that a worker waits for a chief it has met, which may have been killed and is being started again."""

RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "1s",
    "maxBackoff": "5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
CHANNEL = [
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": RETRY}]})),
]
"""Options of a worker's connection to its chief: it notices within seconds, not minutes, that a chief was started, and
repeats a call amid which the chief was killed, since everything may be asked and told twice."""


class Search(BaseTuner):
    """Asks an oracle for trials and runs them until there are no more; a chief only hands them out.

    A trial has failed if `run` raises anything but a `UserError` or an `OSError` (a full disk), which end the search.

    Args:
        oracle: what `make_oracle` returned.
        folder: where the state of the search is, and a folder a trial. An earlier session's search goes on.
        run: function of a `Trial` and its folder that trains it and returns a dictionary: `score`, `epoch`, `seconds`
            and whatever else is to be remembered of the trial, JSON-like.
        tag: the value of the hyperparameter `TAG` in this process's search space.
        role: `"alone"`, `"chief"` or `"worker"`; Keras Tuner reads it as `searches.options.role` does.
    """

    def __init__(self, oracle, folder, run, tag, role="alone"):
        self.role, self.run, self.tag, self._idle = role, run, tag, False
        self._where = ":".join(os.environ.get(f"KERASTUNER_ORACLE_{name}", "") for name in ("IP", "PORT"))
        super().__init__(oracle, directory=str(Path(folder).parent), project_name=Path(folder).name)
        if self.role != "worker" and Path(oracle._get_oracle_fname()).exists():
            try:
                oracle.reload()
            except (ValueError, KeyError, TypeError, RuntimeError) as error:
                raise UserError(f"Can't read the search in {folder} ({first_line(error)}). Use --force.") from error
        if self.role == "worker":
            import grpc

            self._channel = grpc.insecure_channel(self._where, CHANNEL)
            self.oracle.stub = type(self.oracle.stub)(self._channel)

    def save(self):
        """Keras Tuner's tuners have a state file of their own; this one's state is the oracle's."""
        if self.role != "worker":
            self.oracle.save()

    def search(self):
        """Runs to the end.

        Raises `UserError` where a chief can't listen, or a worker doesn't reach its chief or has reached another
        search's.
        """
        import grpc

        try:
            super().search()
        except grpc.RpcError as error:
            code = error.code().name if isinstance(error, grpc.Call) else type(error).__name__
            raise UserError(
                f"The chief at {self._where} does not answer ({code}). Start it, then this worker again."
            ) from None
        except RuntimeError as error:
            if self.role != "chief":
                raise
            raise UserError(f"Can't listen on {self._where} ({first_line(error)}).") from error

    def on_search_begin(self):
        if self.role == "worker":
            self._reach_chief(FIRST_CONTACT)
            space = {hp.name: hp for hp in self.oracle.get_space().space}
            if TAG not in space or space[TAG].value != self.tag:
                raise UserError("The chief runs another search: its options, data or precision differ from this one's.")

    def _reach_chief(self, seconds):
        """Where a worker's chief doesn't listen, says so and waits; Keras Tuner's calls would wait in silence."""
        if self.role != "worker":
            return
        import grpc

        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(1)
        except grpc.FutureTimeoutError:
            print(f"Waiting for the chief at {self._where} ...", flush=True)
            try:
                ready.result(seconds)
            except grpc.FutureTimeoutError:
                raise UserError(
                    f"No chief listens at {self._where}; waited {seconds / 60:g} minutes. Start it, then this worker "
                    "again (a search that is finished has no chief)."
                ) from None
        finally:
            ready.cancel()

    def pre_create_trial(self):
        if self._idle:
            time.sleep(IDLE_SECONDS)
        self._reach_chief(LATER_CONTACT)
        self._idle = True

    def on_trial_begin(self, trial):
        self._idle = False

    def _try_run_and_update_trial(self, trial):
        """As in Keras Tuner, but what ends the search isn't taken for a failure, and the reason reaches the chief."""
        started = time.perf_counter()
        try:
            report = self.run(trial, Path(self.get_trial_dir(trial.trial_id)))
        except (UserError, OSError):
            raise
        except Exception as error:  # whatever the framework raises: a NaN, out of memory
            trial.status = TrialStatus.FAILED
            seconds = time.perf_counter() - started
            report = {"failure": f"{type(error).__name__}: {first_line(error)}", "seconds": seconds}
        self._reach_chief(LATER_CONTACT)
        if trial.status != TrialStatus.FAILED:
            metrics = {self.oracle.objective.name: report["score"]}
            self.oracle.update_trial(trial.trial_id, metrics, step=report["epoch"])
            trial.status = TrialStatus.COMPLETED  # last, since the update is saved, and the score is not known yet
        trial.hyperparameters.values[REPORT] = json.dumps(report | {"worker": self.tuner_id})

    def on_trial_end(self, trial):
        self.oracle.end_trial(trial)
        (Path(self.get_trial_dir(trial.trial_id)) / CHECKPOINT).unlink(missing_ok=True)
