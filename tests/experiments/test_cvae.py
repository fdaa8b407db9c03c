"""What a user of `cvae.py` sees before anything is trained, and what recipes are made of."""

import shlex

import pytest

from experiments import cvae
from experiments.cvae import overrides, parse_arguments
from experiments.cvaes import recipes
from experiments.cvaes.recipes import BUILTIN_SIZES, HELD_OUT, MODELS, PRESETS, make_recipe
from experiments.harness.running.recipe import pick_preset
from experiments.harness.running.start import pick_models
from tests.experiments.sessions import ROOT, closed, run_here

SCRIPT = ROOT / "experiments" / "cvae.py"

# Arguments


@pytest.mark.parametrize(
    "options, line",
    [
        (["--wrong-labels"], "unrecognized arguments: --wrong-labels"),  # an abbreviation would end up in records
        (["--epcohs", "3"], "unrecognized arguments: --epcohs 3 (did you mean --epochs?)"),
        (["--free-bits", "nan"], "argument --free-bits: must be at least 0, and finite, received nan"),
        (["--dry-run", "--wrong-labels-only"], "--wrong-labels-only trains nothing that --dry-run could list"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistyped_option(monkeypatch, capsys, options, line):
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *options])
    with pytest.raises(SystemExit) as exit_:
        cvae.main()
    out, err = capsys.readouterr()
    assert exit_.value.code == 2 and out == ""
    assert err.startswith(f"error: {line}") and err.endswith("; --help shows all options\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options, line",
    [
        (
            ["--data", "glyphs", "--model", "standard", "densty"],
            "--model must be one of standard or all for glyphs. Received: densty",
        ),
        (["--data", "fashion"], "unknown dataset 'fashion': no folder here, nor prepared in "),
        (
            ["--data", "glyphs", "--hparams", "colour.json"],
            "--hparams colour.json: standard: network must be another "
            "for images of 28 x 28 pixels, which it can't halve three times. Received: network='colour'",
        ),
        (
            ["--data", "glyphs-colour", "--hparams", "huge.json"],
            "--hparams huge.json: standard: adversary must be one of tiny, base. Received: adversary='huge'",
        ),
        (["--data", "glyphs", "--results", "file/x"], "Can't write to file/x: Not a directory. Choose another folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_input_that_cannot_work(tmp_path, monkeypatch, capfd, options, line):
    (tmp_path / "file").write_text("")
    (tmp_path / "colour.json").write_text('{"network": "colour"}')
    (tmp_path / "huge.json").write_text('{"adversary": "huge"}')
    for name, value in closed(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    code, out, err = run_here(monkeypatch, capfd, cvae, "--results", "results", *options)
    assert (code, out) == (2, "") and err.startswith(f"error: {line}") and err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"file", "colour.json", "huge.json"}


def test_options_become_overrides():
    assert overrides(parse_arguments([])) == {}
    options = "--seed 2 1 2 --epochs 3 --latent-dim 8 --kl-weight 0 --prior class --no-flip"
    args = parse_arguments(shlex.split(options))
    assert args.seed == [2, 1]  # each once
    assert overrides(args) == {"epochs": 3, "latent_dim": 8, "kl_weight": 0.0, "prior": "class", "flip": False}


def test_one_latent_unit_has_no_covariance():
    assert make_recipe("mnist", "standard", "cpu", {"latent_dim": 1}).posterior == "diagonal"
    assert make_recipe("mnist", "standard", "cpu", {"latent_dim": 2}).posterior == "full"


def test_a_dry_run_of_the_classifiers_trains_none(tmp_path, monkeypatch, capfd):
    options = ["--preset", "smoke", "--data", "glyphs", "--precision", "float32", "--results", tmp_path / "results"]
    code, out, err = run_here(monkeypatch, capfd, cvae, *options, "--dry-run", "--classifiers-only", "judge")
    assert (code or 0, err) == (0, "") and not list(tmp_path.iterdir())
    assert out.splitlines()[-3:] == [
        "judge tiny seed 0: 3 epochs, 1,350 images",
        "judge plain-tiny seed 1: 3 epochs, 1,350 images",
        "Nothing was written.",
    ]


def test_a_feature_network_that_no_model_uses_is_told(tmp_path, monkeypatch, capfd):
    options = ["--preset", "smoke", "--data", "glyphs", "--classifier-weight", "0", "--results", tmp_path / "results"]
    code, _, err = run_here(monkeypatch, capfd, cvae, *options, "--classifiers-only", "features")
    assert code == 2
    assert err == "error: --classifiers-only features: no feature network is used by standard; use judge\n"


def test_models_are_the_datasets_own():
    mnist, cifar10 = (MODELS[name] for name in ("mnist", "cifar10"))
    assert pick_models(None, mnist, "mnist") == ["standard"] and pick_models(None, cifar10, "cifar10") == ["control"]
    assert parse_arguments(shlex.split("--model density control density")).model == ["density", "control"]
    assert pick_models(["density", "control"], cifar10, "cifar10") == ["density", "control"]
    assert pick_models(["density", "all"], cifar10, "cifar10") == list(cifar10)


def test_dry_run_says_the_work_and_writes_nothing(tmp_path, monkeypatch, capfd):
    for name, value in closed(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    options = shlex.split("--preset smoke --precision float32 --seed 0 1 --latent-dim 6 --prior class --dry-run")
    code, out, err = run_here(monkeypatch, capfd, cvae, *options, "--results", tmp_path / "results")
    assert (code or 0, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("Data: glyphs, because mnist is not prepared in ")  # auto, without a network
    assert "tfds.load('mnist')" in lines[0]
    assert any(line.endswith("XLA off") and "float32 (as asked)" in line for line in lines)
    assert "glyphs: 500 train images (50 of them for validation), 100 test images." in lines

    from tfcvae.model import CVAE

    parameters = CVAE((28, 28, 1), 10, 6, "tiny", 32, "bernoulli", "class", posterior="full").count_params()
    work = "to do     4 epochs, 1,800 images, latent 6, class prior, KL weight 1, bernoulli"  # 450 images an epoch
    assert lines[-6:] == [
        "judge tiny seed 0: 3 epochs, 1,350 images",
        "judge plain-tiny seed 1: 3 epochs, 1,350 images",
        "features tiny seed 2: 3 epochs, 1,350 images",
        f"standard           seed 0  {work}, {parameters:,} parameters",
        f"standard           seed 1  {work}, {parameters:,} parameters",
        "2 of 2 models to train, 3,600 images in all. Nothing was written.",
    ]
    assert set(tmp_path.iterdir()) <= {tmp_path / "home"}  # where Keras puts its configuration once a process


# Recipes


def test_latent_dim_is_units_of_a_flat_latent_and_channels_of_a_spatial_one():
    def latent(model, overrides):
        return make_recipe("cifar10", model, "cpu", overrides).latent_shape

    assert (latent("control", {}), latent("density", {})) == ((128,), (8, 8, 16))
    assert latent("control", {"latent_dim": 5}) == (5,)
    assert latent("density", {"latent_dim": 5}) == (8, 8, 5)


def test_digits_compared_in_features_are_reconstructed_under_right_labels_alone():
    in_pixels, in_features = (
        make_recipe("mnist", "standard", "cpu", options) for options in ({}, {"likelihood": "features"})
    )
    assert in_pixels.reconstruct_all and not in_features.reconstruct_all


def test_recipes_are_ones_that_the_library_takes():
    from tfcvae import adversary, likelihoods, networks, priors

    for names, known in (
        (recipes.NETWORKS, networks.NETWORKS),
        (recipes.CONDITIONINGS, networks.CONDITIONINGS),
        (recipes.POSTERIORS, networks.POSTERIORS),
        (recipes.LIKELIHOODS, likelihoods.LIKELIHOODS),
        (recipes.PRIORS, priors.PRIORS),
        (recipes.ADVERSARIES, adversary.ADVERSARIES),
    ):
        assert set(names) == set(known)
    deep = [name for name, size in networks.NETWORKS.items() if len(size.channels) == 4]
    assert list(recipes.THREE_HALVINGS) == deep
    for preset, (train, test) in BUILTIN_SIZES.items():
        assert HELD_OUT[preset] < train
        for recipe in (make_recipe(dataset, model, preset, {}) for dataset in MODELS for model in MODELS[dataset]):
            assert recipe.batch_size < train
            assert recipe.train_limit in (0, train) and recipe.test_limit in (0, test)


def test_presets_grow():
    ladder = ["smoke", "cpu", "gpu"]
    assert list(PRESETS) == list(BUILTIN_SIZES) == list(HELD_OUT) == ladder
    asked = (("smoke", "GPU"), ("auto", "CPU"), ("auto", "GPU"))
    assert [pick_preset(preset, device) for preset, device in asked] == ladder
    found = [make_recipe("mnist", "standard", preset, {}) for preset in ladder]
    assert [recipe.network for recipe in found] == ["tiny", "digits", "base"]
    budgets = [recipe.epochs_for(55_000) for recipe in found]
    assert budgets == sorted(set(budgets)) and budgets[0] == 1
    assert found[1].wrong_labels == 9 and found[1].test_limit == found[1].train_limit == 0


@pytest.mark.parametrize("images, train, epochs", [(3_000_000, 55_000, 55), (100, 450, 1), (9_000, 40, 200)])
def test_epochs_make_up_the_budget(images, train, epochs):
    assert recipes.Recipe(images=images).epochs_for(train) == epochs
    assert recipes.Recipe(images=images, epochs=7).epochs_for(train) == 7
