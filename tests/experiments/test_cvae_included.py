"""The wrong-label picture from included weights: when they are taken, and that it is the picture of the training."""

import hashlib
import json
import shutil
from functools import partial

import pytest

from experiments import cvae
from experiments.cvaes import included
from experiments.harness.data.datasets import Choice
from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from tests.experiments.sessions import ROOT, files, finish_here, include, quick, read
from tfcvae import pretrained

AGAIN = ["--data", "glyphs", "--wrong-labels-only"]
SHORT = {"epochs": 1, "latent_dim": 4, "importance_samples": 0, "wrong_labels": 1, "samples_per_class": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, smoke_classifiers):
    """Results with a small model and its classifiers, in float32, and the hyperparameters that it was made with."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(smoke_classifiers, folder / "results")
    (folder / "short.json").write_text(json.dumps(SHORT))
    options = ["--data", "glyphs", "--preset", "smoke", "--precision", "float32", "--hparams", folder / "short.json"]
    finish_here(cvae, *options, "--results", folder / "results")
    return folder / "results", folder / "short.json"


@pytest.fixture
def model_folder(trained):
    (weights,) = (trained[0] / "cvae").rglob("model.keras")
    return weights.parent


@pytest.fixture
def weights(model_folder, tmp_path, monkeypatch):
    """The folder of included weights, with those of that model."""
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path / "weights")
    include(monkeypatch, model_folder, tmp_path / "weights" / "glyphs")
    return tmp_path / "weights"


@pytest.fixture
def here(start_here):
    return partial(start_here, cvae)


@pytest.fixture
def clone(trained, tmp_path):
    """Results as a clone has them: records and pictures, no weights, and the picture lost."""
    shutil.copytree(trained[0], tmp_path / "results", ignore=shutil.ignore_patterns("*.keras", ".lock"))
    (tmp_path / "results" / "cvae" / "glyphs" / "wrong_labels.png").unlink()
    return tmp_path / "results"


def picture(results):
    return (results / "cvae" / "glyphs" / "wrong_labels.png").read_bytes()


# Which weights are taken


def test_without_included_weights_the_answer_is_one_line_at_once(tmp_path):
    """Where `--data auto` falls back to glyphs, it says why."""
    for options, reason in ((AGAIN, ""), (AGAIN[2:], " Data: glyphs, because mnist is not prepared in ")):
        done = quick(tmp_path, ROOT / "experiments" / "cvae.py", *options, "--results", "results")
        assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
        lacking = "error: results/cvae/glyphs holds no trained model (standard seed 0), and no weights of glyphs are "
        assert done.stderr.startswith(f"{lacking}included")
        assert f". Run the command without --wrong-labels-only to train it.{reason}" in done.stderr
        assert list(tmp_path.iterdir()) == []


RECORD = {"command": "python experiments/cvae.py", "variant": "control", "seed": 0, "run": "cpu-3f2a1c"}
RECORD["config"] = {"latent_shape": [8, 8, 16], "kl_weight": 1.0, "epochs": 40, "prior": "class"}


@pytest.mark.parametrize(
    "asked, differences",
    [
        ({}, ""),
        ({"preset": "cpu", "models": ["control"], "seeds": [0]}, ""),
        ({"options": {"latent_dim": 16, "kl_weight": 1, "epochs": 40}}, ""),
        ({"models": ["control", "density"]}, "model control density (included: control)"),
        ({"preset": "gpu"}, "preset gpu (included: cpu)"),
        ({"options": {"latent_dim": 8}}, "latent_shape 8 8 8 (included: 8 8 16)"),
        (
            {"seeds": [3], "options": {"kl_weight": 0.0, "prior": "standard"}},
            "seed 3 (included: 0); kl_weight 0.0 (included: 1.0); prior standard (included: class)",
        ),
    ],
)
def test_weights_of_another_model_are_no_substitute(tmp_path, monkeypatch, capsys, asked, differences):
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    (tmp_path / "cifar10.keras").write_bytes(b"")
    (tmp_path / "cifar10.json").write_text(json.dumps(RECORD))
    arguments = Choice("cifar10", "prepared", "/data", ""), included.Request(**asked), "there", [("control", 0)]
    if not differences:
        assert included.find(*arguments) == RECORD
        line = f"taking the included weights, {tmp_path / 'cifar10.keras'}, made by `python experiments/cvae.py`."
        assert capsys.readouterr().out == f"there holds no trained model (control seed 0): {line}\n"
        return
    with pytest.raises(UserError) as error:
        included.find(*arguments)
    assert f"and the included weights are of another: {differences}. Run the command" in str(error.value)
    assert capsys.readouterr().out == ""


# The picture


def test_a_clone_draws_the_picture_of_the_training_and_touches_nothing_else(trained, clone, weights, here):
    before = files(clone)
    code, out, err = here(*AGAIN, "--precision", "float32")
    assert (code, err) == (0, "") and " | loss " not in out
    assert out.splitlines()[0].startswith(f"{clone / 'cvae' / 'glyphs'} holds no trained model (standard seed 0): ")
    assert f"taking the included weights, {weights / 'glyphs.keras'}, made by `python experiments/cvae.py" in out
    assert out.endswith(f"Picture: {clone / 'cvae' / 'glyphs' / 'wrong_labels.png'}\n") and "other test" not in out
    assert picture(clone) == picture(trained[0])
    after = files(clone)
    assert after.keys() - before.keys() == {clone / "cvae" / "glyphs" / "wrong_labels.png"}
    assert before.items() <= after.items()


def test_weights_of_another_precision_predict_in_float32_beside_another_run(trained, weights, tmp_path, here):
    """There is a trained model, but the command's own run is one in another precision. It repeats the options.

    That the weights' record is of other test images, it says.
    """
    record = read(weights, "glyphs.json")
    record["data"]["fingerprint"]["test"]["sha256"] = "of others"
    runs.write_json(weights / "glyphs.json", record)
    shutil.copytree(trained[0], tmp_path / "results")
    drawn = tmp_path / "results" / "cvae" / "glyphs" / "wrong_labels.png"
    drawn.unlink()
    before = files(tmp_path / "results").keys()
    options = ["--preset", "smoke", "--hparams", trained[1], "--precision", "mixed_bfloat16"]
    code, out, err = here(*AGAIN, *options)
    assert (code, err) == (0, "") and "taking the included weights" in out and "Precision: float32.\n" in out
    assert "These are other test images, or in another order, than those of the figures below" in out
    assert picture(tmp_path / "results") == picture(trained[0])
    assert files(tmp_path / "results").keys() - before == {drawn}


def test_damaged_weights_are_named_and_nothing_is_drawn(weights, tmp_path, here):
    (weights / "glyphs.keras").write_bytes(b"damaged")
    code, _, err = here(*AGAIN)
    assert code == 2 and err.endswith("glyphs.keras is not the file of its record, glyphs.json; restore both.\n")
    assert err.count("\n") == 1 and not list((tmp_path / "results").rglob("*.png"))


# Weights for the repository


PARTS = ("judge", "judge-plain", "features")


def places(results, model_folder):
    """Where the judges and the feature network of a model lie."""
    record = read(model_folder)
    parts = [record["judge"]["judges"]["tiny"], record["judge"]["judges"]["plain-tiny"], record["features"]]
    return [results / part["folder"] for part in parts]


def test_judges_and_feature_network_come_along(trained, model_folder, weights):
    folders = dict(
        zip(
            ["glyphs", *(f"glyphs-{part}" for part in PARTS)],
            [model_folder, *places(trained[0], model_folder)],
            strict=True,
        )
    )
    for name, folder in folders.items():
        content = (folder / "model.keras").read_bytes()
        assert (weights / f"{name}.keras").read_bytes() == content
        sha256 = hashlib.sha256(content).hexdigest()
        assert read(weights, f"{name}.json") == read(folder) | {"weights_sha256": sha256}
    assert len(list(weights.iterdir())) == 8
    assert list(pretrained.load_judges("glyphs")) == ["tiny", "plain-tiny"]


def test_those_that_were_taken_from_included_weights_come_along_from_there(trained, weights, tmp_path, monkeypatch):
    shutil.copytree(trained[0], tmp_path / "results")
    (model,) = (tmp_path / "results" / "cvae").rglob("model.keras")
    record = read(model.parent)
    record["judge"]["judges"]["plain-tiny"]["folder"] = "included: glyphs-judge-plain"
    record["features"]["folder"] = "included: glyphs-features"
    runs.write_json(model.parent / "record.json", record)
    shutil.rmtree(tmp_path / "results" / "features")
    before = {path.name: path.read_bytes() for path in weights.iterdir()}
    include(monkeypatch, model.parent, tmp_path / "others" / "digits")
    after = {path.name.replace("digits", "glyphs"): path.read_bytes() for path in (tmp_path / "others").iterdir()}
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] != before[name]} == {"glyphs.json"}  # the folders in it


def test_a_judge_that_is_missing_or_too_large_leaves_nothing(trained, tmp_path, monkeypatch):
    shutil.copytree(trained[0], tmp_path / "results")
    judge = tmp_path / "results" / "judge" / "glyphs" / "smoke" / "plain-tiny" / "seed-1" / "model.keras"
    (model,) = (tmp_path / "results" / "cvae").rglob("model.keras")
    with open(judge, "ab") as file:
        file.truncate(13 * 2**20)
    with pytest.raises(UserError, match=rf"{judge} has 13\.0 MiB; a repository should hold at most 12"):
        include(monkeypatch, model.parent, tmp_path / "weights" / "glyphs")
    judge.unlink()
    with pytest.raises(UserError, match=rf"{judge.parent} does not hold both model\.keras and record\.json"):
        include(monkeypatch, model.parent, tmp_path / "weights" / "glyphs")
    assert not (tmp_path / "weights").exists()
