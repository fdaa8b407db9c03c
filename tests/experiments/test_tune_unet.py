"""The search for a U-Net's hyperparameters: its options, a real search in small, kills, chief and workers."""

import contextlib
import json
import os
import shlex
import socket
from functools import partial

import pytest

from experiments import tune_unet
from experiments.harness.running import hardware
from experiments.harness.running.errors import UserError
from experiments.harness.running.recipe import read_hparams
from experiments.run_unet_matrix import overrides, parse_arguments
from experiments.searches import search
from experiments.searches.options import VARIABLES, check_options, role
from experiments.unets.recipes import VARIANT_FIELDS, Recipe
from tests.experiments.sessions import ROOT, Session, finish_here, kill_after, kill_in_turn, trained

SCRIPT = ROOT / "experiments" / "tune_unet.py"
BASE = shlex.split("--preset smoke --data shapes --precision float32")
NAME = "unet-shapes-smoke"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


# Options


CHIEF = dict(zip(VARIABLES, ("chief", "127.0.0.1", "8000"), strict=True))


@pytest.mark.parametrize(
    "changes, part",
    [({}, "chief"), ({"KERASTUNER_TUNER_ID": "worker-1"}, "worker"), (dict.fromkeys(CHIEF, ""), "alone")],
)
def test_part_in_the_search(monkeypatch, changes, part):
    for name, value in (CHIEF | changes).items():
        monkeypatch.setenv(name, value)
    assert role() == part
    assert part != "alone" or not set(VARIABLES) & set(os.environ)  # Keras Tuner looks whether they are there


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"KERASTUNER_ORACLE_PORT": ""}, "KERASTUNER_TUNER_ID is set but not KERASTUNER_ORACLE_PORT;"),
        ({"KERASTUNER_ORACLE_PORT": "http"}, "KERASTUNER_ORACLE_PORT must be a port from 1 to 65535. Received: 'http'"),
    ],
    ids=str,
)
def test_half_a_set_up_is_refused(monkeypatch, changes, line):
    for name, value in (CHIEF | changes).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as error:
        role()
    assert line in str(error.value)


def test_options_that_make_no_sense_are_refused(monkeypatch):
    with pytest.raises(UserError, match="--name must consist of"):
        check_options(tune_unet.parse_arguments(["--name", "../x"]))
    for name, value in (CHIEF | {"KERASTUNER_TUNER_ID": "worker"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="--force is the chief's to decide"):
        check_options(tune_unet.parse_arguments(["--force"]))


# A real search


@pytest.fixture
def here(start_here):
    hardware.import_tensorflow()
    return partial(start_here, tune_unet, *BASE)


def read(results, file="record.json", name=f"{NAME}-random"):
    return json.loads((results / "tuning" / name / file).read_text())


def test_a_search_with_a_failed_trial(tmp_path, here, monkeypatch):
    from experiments.unets.tuning import UNetTask

    built = []

    def build(task, fields, epochs, build=UNetTask.build):
        task.data.test = None  # nothing of the test split is there to look at
        built.append(fields)
        rate = 1e30 if len(built) == 2 else fields["learning_rate"]
        return build(task, fields | {"learning_rate": rate}, epochs)

    monkeypatch.setattr(UNetTask, "build", build)
    options = shlex.split("--tuner random --trials 3 --max-epochs 1")
    code, out, err = here(*options)
    assert (code, err) == (0, "")
    results = tmp_path / "results"
    record = read(results)
    trials = {trial["trial"]: trial for trial in record["trials"]}
    assert [trials[n]["status"] for n in (1, 2, 3)] == ["completed", "failed", "completed"]
    assert trials[2]["failure"].startswith("TrainingDiverged: the loss became ") and trials[2]["score"] is None
    assert [trials[n]["hyperparameters"] for n in (1, 2, 3)] == built
    best = record["trials"][0]
    assert best["score"] == max(trials[1]["score"], trials[3]["score"]) and record["trials"][2] == trials[2]
    assert f"val IoU {best['score']:.4f}" in out and "trial 2 of 3: failed" in out
    assert out.count("| epoch 1/1 | loss ") == 2 and len(out.splitlines()) < 25  # no flood
    assert read(results, "best.json") == record["best"] == best["hyperparameters"]
    known = read_hparams(results / "tuning" / f"{NAME}-random" / "best.json", Recipe, VARIANT_FIELDS)
    assert set(known) == set(record["config"]["space"])
    words = record["use"].split()  # the command that the summary gives trains the best as it was found
    used = parse_arguments([*words[2:], "--hparams", str(results / "tuning" / f"{NAME}-random" / "best.json")])
    assert words[:2] == ["python", "experiments/run_unet_matrix.py"] and overrides(used) == known
    assert (used.data, used.preset, used.variants) == ("shapes", "smoke", ["tuned"])
    assert record["data"]["train"] == 65 and record["data"]["validation"] == 7 and record["data"]["fingerprint"]
    assert record["versions"]["keras-tuner"] and record["hardware"]["precision"] == "float32"
    assert all((results / "tuning" / f"{NAME}-random" / f"{p}.png").is_file() for p in ("trials", "hyperparameters"))
    assert not list(results.rglob("checkpoint.npz")) and f"{NAME}-random" in (results / "summary.md").read_text()

    table = results / "tuning" / f"{NAME}-random" / "trials.csv"
    before = (results / "tuning" / f"{NAME}-random" / "record.json").stat().st_mtime_ns
    assert "3 of them are finished, and would be kept.\nNothing was written." in here(*options, "--dry-run")[1]
    code, out, err = here(*options)
    assert (code, err) == (0, "") and "3 of 3 trials are finished, and kept." in out and len(built) == 3
    assert (results / "tuning" / f"{NAME}-random" / "record.json").stat().st_mtime_ns == before

    # and so does a chief, which no worker will ever ask for a trial
    for variable, value in CHIEF.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("keras_tuner.src.distribute.oracle_chief.start_server", lambda oracle: pytest.fail("waits"))
    table.unlink()
    code, out, err = here(*options)
    assert (code, err) == (0, "") and "The search is finished: this chief hands out nothing" in out
    assert f"Best: val IoU {best['score']:.4f}" in out and len(table.read_text().splitlines()) == 4


# Killed


def outcome(results, name):
    """Ranked trials, less what time and place decide."""
    drop = ("seconds", "images_per_second", "worker")
    trials = read(results, name=name)["trials"]
    return [{key: value for key, value in trial.items() if key not in drop} for trial in trials]


HYPERBAND = [*BASE, "--trials", "4"]  # three of an epoch, and the best of them once more, for three
KILLS = [((), kill_after("trial 2 of 4: down", 0.3)), ((), kill_after("trial 4 of 4 | epoch 1/3", 0.3))]


@pytest.mark.slow
def test_killed_search_ends_as_the_uninterrupted_one(tmp_path, here, capfd):
    reference = tmp_path / "reference"
    finish_here(tune_unet, *HYPERBAND, "--results", reference)
    capfd.readouterr()
    results, name = tmp_path / "results", f"{NAME}-hyperband"
    done = kill_in_turn(results, (SCRIPT, *HYPERBAND), KILLS)
    assert not (results / "tuning" / name / "record.json").exists()
    code, out, err = here("--trials", "4")
    assert (code, err) == (0, "")
    done += trained(out.splitlines())
    whole = [(f"trial {trial} of 4", epoch) for trial in (1, 2, 3, 4) for epoch in range(1, 4 if trial == 4 else 2)]
    assert done == [epoch for epoch in whole if epoch in done]  # nothing that was reported is done again
    assert len(whole) - len(done) <= len(KILLS)  # an epoch may be saved and the session killed before it says so
    assert outcome(results, name) == outcome(reference, name)
    assert read(results, "best.json", name) == read(reference, "best.json", name)


# Chief and workers


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


SHARED = shlex.split("--tuner random --trials 4 --max-epochs 1")


@contextlib.contextmanager
def processes(folder):
    """A function that starts a process of one search by its name: `"chief"`, or else a worker."""
    port = free_port()

    def begin(name, *options):
        for variable, value in zip(VARIABLES, (name, "127.0.0.1", port), strict=True):
            patch.setenv(variable, value)
        command, errors = [SCRIPT, *BASE, *SHARED, *options], folder / f"{name}.stderr"
        return stack.enter_context(Session(folder / "results", *command, errors=errors))

    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        yield begin


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """The processes of a search that has ended, by name: a chief, two workers, and a worker of another search."""
    with processes(tmp_path_factory.mktemp("several")) as begin:
        sessions = {"chief": begin("chief"), "worker-1": begin("worker-1")}
        first = sessions["worker-1"]
        first.wait_for("trial ")
        first.stop()  # amid a trial, until the others have had their turn
        sessions |= {"stranger": begin("stranger", "--seed", "1"), "worker-2": begin("worker-2")}
        sessions["worker-2"].wait_for(" | loss ")
        sessions["stranger"].finish()
        first.go_on()
        for session in sessions.values():
            session.finish()
        yield sessions


@pytest.mark.slow
def test_chief_and_two_workers_do_every_trial_once(several, tmp_path, here):
    chief, workers = several["chief"], [several["worker-1"], several["worker-2"]]
    for session in (chief, *workers):
        assert (session.process.returncode, session.stderr()) == (0, "")
    trials = read(chief.results)["trials"]
    assert sorted(trial["trial"] for trial in trials) == [1, 2, 3, 4]
    assert {trial["status"] for trial in trials} == {"completed"}
    did = [session.trained() for session in workers]
    assert sorted(did[0] + did[1]) == [(f"trial {trial} of 4", 1) for trial in (1, 2, 3, 4)] and did[0] and did[1]
    for name, epochs in zip(("worker-1", "worker-2"), did, strict=True):
        by_name = {f"trial {trial['trial']} of 4" for trial in trials if trial["worker"] == name}
        assert by_name == {label for label, _ in epochs}
    assert chief.trained() == [] and sum(line.startswith("trial ") for line in chief.lines) == 4

    assert here(*SHARED)[0] == 0  # the same choices and scores as those of one process
    assert outcome(tmp_path / "results", f"{NAME}-random") == outcome(chief.results, f"{NAME}-random")


@pytest.mark.slow
def test_a_killed_chief_goes_on_with_its_workers_and_ends_every_trial_once(several, tmp_path):
    with processes(tmp_path) as begin:
        chiefs, workers = [begin("chief")], [begin("worker-1"), begin("worker-2")]
        chiefs[0].wait_for("trial ")  # has ended
        chiefs[0].kill()
        chiefs.append(begin("chief"))
        for session in (chiefs[1], *workers):
            assert (session.finish(), session.stderr()) == (0, "")
    ended = [line.split(",")[0] for chief in chiefs for line in chief.lines if line.startswith("trial ")]
    assert len(ended) == len(set(ended))
    assert any(line.endswith("of 4 trials are finished, and kept.") for line in chiefs[1].lines)
    assert sorted(trial["trial"] for trial in read(tmp_path / "results")["trials"]) == [1, 2, 3, 4]
    assert outcome(tmp_path / "results", f"{NAME}-random") == outcome(several["chief"].results, f"{NAME}-random")


def test_a_worker_without_a_chief_says_so_and_gives_up(here, monkeypatch):
    port = free_port()
    for variable, value in zip(VARIABLES, ("worker-1", "127.0.0.1", port), strict=True):
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(search, "FIRST_CONTACT", 0.3)
    code, out, err = here(*SHARED)
    assert code == 2 and out.splitlines()[-1] == f"Waiting for the chief at 127.0.0.1:{port} ..."
    assert err.startswith(f"error: No chief listens at 127.0.0.1:{port}; waited 0.005 minutes. ")


@pytest.mark.slow
def test_a_worker_of_another_search_is_refused(several):
    stranger = several["stranger"]
    assert stranger.process.returncode == 2 and stranger.trained() == []
    assert stranger.stderr().startswith("error: The chief runs another search: its options, data or precision differ")
