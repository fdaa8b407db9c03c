"""The search for a conditional VAE's hyperparameters: what it tunes, and a real one in small."""

import json
import shlex
import shutil

from experiments import tune_cvae
from experiments.cvaes.recipes import make_recipe
from experiments.harness.running import hardware
from tests.experiments.sessions import run_here

BASE = shlex.split("--preset smoke --data glyphs --precision float32")


def test_a_model_of_another_dataset_is_refused_at_once(monkeypatch, capfd):
    code, out, err = run_here(monkeypatch, capfd, tune_cvae, "--data", "glyphs", "--model", "density")
    assert (code, out, err) == (2, "", "error: --model must be one of standard for glyphs. Received: density\n")


def test_a_search(tmp_path, monkeypatch, capfd, smoke_classifiers):
    hardware.import_tensorflow()
    shutil.copytree(smoke_classifiers, tmp_path, dirs_exist_ok=True)
    from experiments.cvaes.tuning import CVAETask

    built = []

    def build(task, fields, epochs, build=CVAETask.build):
        task.data.test = None  # nothing of the test split is there to look at
        training = build(task, fields, epochs)
        built.append(training.model)
        return training

    monkeypatch.setattr(CVAETask, "build", build)
    options = shlex.split("--tuner bayesian --trials 2 --max-epochs 1 --name small")
    code, out, err = run_here(monkeypatch, capfd, tune_cvae, *BASE, *options, "--results", tmp_path)
    assert (code, err) == (0, "") and "tiny seed 2 | epoch " not in out  # the feature network is there already
    record = json.loads((tmp_path / "tuning" / "small" / "record.json").read_text())
    scores = [trial["score"] for trial in record["trials"]]
    assert scores == sorted(scores) and all(0 < score < 28 * 28 for score in scores)  # nats, the lowest first
    fields = {trial["trial"]: trial["hyperparameters"] for trial in record["trials"]}
    for number, model in enumerate(built, 1):
        assert model.latent_shape == (fields[number]["latent_dim"],) and model.label_dim == fields[number]["label_dim"]
        assert (model.prior_name, model.kl_weight) == (fields[number]["prior"], fields[number]["kl_weight"])
    best = json.loads((tmp_path / "tuning" / "small" / "best.json").read_text())
    assert best == record["best"] == record["trials"][0]["hyperparameters"]
    recipe = make_recipe("glyphs", "standard", "smoke", best)
    assert recipe.latent_shape == (best["latent_dim"],) and recipe.learning_rate == best["learning_rate"]
    assert record["use"] == "python experiments/cvae.py --data glyphs --preset smoke --model standard"
    assert f"val -ELBO {scores[0]:.4f}" in out
