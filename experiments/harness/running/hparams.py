"""Hyperparameters in a file: what a search found, as options for another script."""

import json
import types
import typing
from pathlib import Path

from experiments.harness.running.errors import UserError


def read_hparams(path, recipe, extra=None, without=()):
    """Reads a JSON object of recipe fields, such as a search's `best.json`.

    Args:
        path: the file.
        recipe: a dataclass whose fields are allowed, and `without`, which of them are not.
        extra: `{name: type}` of further keys that are allowed.

    Returns:
        Dictionary of field name to value; lists become tuples where the field is one.

    Raises:
        UserError: for a file that cannot be read, is no JSON object, or has an unknown key or a value of a wrong type.
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
