"""Hyperparameters from a file: what is taken, and the one line for what can't be."""

import json
import math
import re
from dataclasses import dataclass

import pytest

from experiments import cvae
from experiments.harness.running.errors import UserError
from experiments.harness.running.recipe import read_hparams
from experiments.run_unet_matrix import check_recipes, overrides, parse_arguments
from experiments.unets.recipes import MATRIX, make_recipe

FOUND = {
    "down": "strided",
    "up": "upsample",
    "loss": "bce_dice",
    "filters": 24,
    "normalization": None,
    "dropout": 0.1,
    "learning_rate": 0.00187,
    "weight_decay": 0.0364,
    "augmentation": 2.0,
}


@dataclass(frozen=True)
class Recipe:
    rate: float = 0.1
    filters: int = 8
    name: str | None = None
    flip: bool = False
    shape: tuple = (8,)
    variant: object = None


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "best.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_values_of_the_fields_types_are_taken(file):
    values = {"rate": 1, "filters": 16, "name": None, "flip": True, "shape": [8, 8, 16], "latent_dim": 4}
    read = read_hparams(file(values), Recipe, {"latent_dim": int}, ("variant",))
    assert read == values | {"shape": (8, 8, 16)}
    assert read_hparams(file({"name": "batch", "rate": 2.5}), Recipe) == {"name": "batch", "rate": 2.5}


@pytest.mark.parametrize(
    "content, line",
    [
        ({"lr": 1}, "has an unknown key 'lr'. Known: filters, flip, latent_dim, name, rate, shape."),
        ({"rate": True}, "rate must be of type float. Received: true"),
        ({"filters": 8.0}, "filters must be of type int. Received: 8.0"),
        ({"shape": [8, "8"]}, 'shape must be of type tuple. Received: [8, "8"]'),
        ([1, 2], "must be a JSON object such as a search's best.json. Received: [1, 2]"),
        ('{"rate": ', "is no JSON (Expecting value"),
    ],
    ids=str,
)
def test_other_content_is_refused_in_one_line(file, content, line):
    path = file(content)
    with pytest.raises(UserError) as error:
        read_hparams(path, Recipe, {"latent_dim": int}, ("variant",))
    assert str(error.value).startswith(f"--hparams {path}") and line in str(error.value)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"Can't read --hparams .*none.json: No such file"):
        read_hparams(tmp_path / "none.json", Recipe)
    with pytest.raises(UserError, match="Is a directory"):
        read_hparams(tmp_path, Recipe)
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match="is no JSON"):
        read_hparams(tmp_path / "photo", Recipe)


# In the matrix


def test_matrix_keeps_its_variants_and_takes_the_rest(file):
    args = parse_arguments(["--hparams", str(file(FOUND)), "--filters", "32"])
    options = overrides(args)
    check_recipes(args, options)
    assert options == {k: v for k, v in FOUND.items() if k not in ("down", "up", "loss")} | {"filters": 32}
    for variant in MATRIX:
        recipe, plain = make_recipe("cpu", variant, options), make_recipe("cpu", variant, {})
        assert recipe.variant == plain.variant
        assert recipe.record() == plain.record() | options  # and a run of it is another run
    tutorial = make_recipe("cpu", "tutorial", options)
    assert tutorial == make_recipe("cpu", "tutorial", {})


@pytest.mark.parametrize(
    "found, line",
    [
        ({"dropout": 1.0}, r"dropout must lie in \[0, 0.9999\]"),
        ({"learning_rate": math.nan}, "learning_rate must be at least 0, and finite"),
        ({"target": "dog"}, "target must be one of foreground, pet, trimap"),
        ({"depth": 8}, "--image-size must be divisible by 256"),
    ],
    ids=str,
)
def test_matrix_refuses_recipes_that_cannot_be_built(file, found, line):
    args = parse_arguments(["--preset", "cpu", "--hparams", str(file(found))])
    with pytest.raises(UserError, match=line):
        check_recipes(args, overrides(args))


@pytest.mark.parametrize(
    "fields, line",
    [
        ({"prior": "flat"}, "prior must be one of standard, class. Received: prior='flat'"),
        ({"wrong_labels": 10}, "wrong_labels must lie in [1, 9]. Received: wrong_labels=10"),
        (
            {"latent_shape": [8, 8, 4], "posterior": "diagonal"},
            "latent_shape must be one number, or [7, 7, channels] for mnist.",
        ),
        ({"latent_shape": [7, 7, 4]}, "posterior must be 'diagonal' for a latent of height, width and channels."),
    ],
)
def test_a_recipe_of_the_cvae_that_cannot_be_is_refused(tmp_path, fields, line):
    path = tmp_path / "h.json"
    path.write_text(json.dumps(fields))
    args = cvae.parse_arguments(["--hparams", str(path)])
    with pytest.raises(UserError, match=re.escape(f"--hparams {path}: standard: {line}")):
        cvae.check_recipes(args, cvae.overrides(args), "mnist", ["standard"])


def test_options_come_before_the_hyperparameters_of_the_cvae(tmp_path):
    path = tmp_path / "h.json"
    path.write_text(json.dumps({"latent_shape": [4], "kl_weight": 2, "label_dim": 8}))
    args = cvae.parse_arguments(["--hparams", str(path), "--latent-dim", "16", "--kl-weight", "3"])
    assert cvae.overrides(args) == {"latent_dim": 16, "kl_weight": 3.0, "label_dim": 8}
