"""Recipes: frozen dataclasses whose fields say what they mean, what they may be and whether an option sets them.

From these follow the options of a script, the check of a recipe and what `--hparams FILE` may hold.
"""

import argparse
import json
import types
import typing
from dataclasses import field, fields
from pathlib import Path

from experiments.harness.running import runs
from experiments.harness.running.errors import UserError


def setting(default, about, least=0, most=None, names=None, option=False):
    """A field of a recipe.

    Args:
        default: its value; other values are of the same type.
        about: what it means; an option's help.
        least, most: of a number; without `most` it has to be finite.
        names: what a text may be.
        option: whether an option of its name sets it. A dictionary says what `argparse` should be told beyond that.
    """
    return field(default=default, metadata=dict(about=about, least=least, most=most, names=names, option=option))


def check(recipe):
    """Raises `ValueError` for the first field of a recipe that is none of its names, or outside its range."""
    for known in fields(recipe):
        value, received = getattr(recipe, known.name), f"Received: {known.name}={getattr(recipe, known.name)!r}"
        names, least, most = (known.metadata.get(key) for key in ("names", "least", "most"))
        if names and value not in names:
            raise ValueError(f"{known.name} must be one of {', '.join(names)}. {received}")
        if names or not isinstance(value, int | float):
            continue
        if most is not None and not least <= value <= most:
            raise ValueError(f"{known.name} must lie in [{least}, {most}]. {received}")
        if not least <= value < float("inf"):
            finite = ", and finite" if isinstance(value, float) else ""
            raise ValueError(f"{known.name} must be at least {least}{finite}. {received}")


def add_options(parser, recipe):
    """Adds the options that set fields of a recipe's class."""
    for known in fields(recipe):
        told = known.metadata
        if not told.get("option"):
            continue
        if isinstance(known.default, bool):
            keywords = {"action": argparse.BooleanOptionalAction}
        elif told["names"]:
            keywords = {"choices": told["names"]}
        else:
            whole = isinstance(known.default, int)
            keywords = {"type": runs.whole(told["least"]) if whole else runs.number(told["least"], told["most"])}
        more = told["option"] if isinstance(told["option"], dict) else {}
        parser.add_argument(f"--{known.name.replace('_', '-')}", **keywords | {"help": told["about"]} | more)


def given(args, recipe):
    """The fields of a recipe's class that a parser's options set, `{name: value}`."""
    found = {known.name: getattr(args, known.name, None) for known in fields(recipe) if known.metadata.get("option")}
    return {name: value for name, value in found.items() if value is not None}


def check_all(make, models, hparams=None):
    """Refuses, before anything slow happens, models that no recipe can be made for.

    `make` makes the recipe of a model by its name; its `ValueError`s become `UserError`s. Those name the file
    `hparams`, which may be to blame.
    """
    for model in models:
        try:
            make(model)
        except ValueError as error:
            raise UserError(f"--hparams {hparams}: {model}: {error}" if hparams else f"{model}: {error}") from None


def pick_preset(requested, device):
    """Resolves `auto`: `gpu` on a GPU, `cpu` elsewhere."""
    return requested if requested != "auto" else device.lower()


def read_hparams(path, recipe, extra=None, without=()):
    """Reads a JSON object of recipe fields, such as a search's `best.json`: a dictionary, in which lists become tuples.

    Raises `UserError` for a file that can't be read or is no JSON object, an unknown key, and a value of a wrong type.

    Args:
        recipe: a dataclass whose fields are allowed, and `without`, which of them are not.
        extra: `{name: type}` of further keys that are allowed.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Can't read --hparams {path}: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(f"--hparams {path} is no JSON ({error}).") from None
    if not isinstance(values, dict):
        raise UserError(f"--hparams {path} must be a JSON object such as a search's best.json. Received: {values!r}")
    known = {name: kind for name, kind in typing.get_type_hints(recipe).items() if name not in without} | (extra or {})
    for name, value in values.items():
        if name not in known:
            raise UserError(f"--hparams {path} has an unknown key {name!r}. Known: {', '.join(sorted(known))}.")
        if not _fits(value, known[name]):
            wanted = getattr(known[name], "__name__", str(known[name]))
            raise UserError(f"--hparams {path}: {name} must be of type {wanted}. Received: {json.dumps(value)}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _fits(value, kind):
    if isinstance(kind, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(kind))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is tuple:
        return isinstance(value, list) and all(type(part) is int for part in value)
    return type(value) is kind  # a bool is no int here
