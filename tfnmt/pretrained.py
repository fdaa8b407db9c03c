"""The translator that comes with this package: its weights, tokenizer and record.

Keras is imported only to load.
"""

import hashlib
import json
from pathlib import Path

from tfnmt.tokenizer import Tokenizer

LONGEST = 64
"""Tokens of a sentence, the end included: the included models have seen hardly any longer ones."""

WEIGHTS = Path(__file__).parent / "weights"
"""Holds `<name>.keras`, `<name>.tokenizer.json` and `<name>.json`, the record."""

TOKENIZER = ".tokenizer.json"


def included():
    """The names of the corpora whose models are included, sorted."""
    return sorted(path.stem for path in WEIGHTS.glob("*.keras"))


def read_record(name):
    """The record of an included model: what it was trained on, by which command, and how it scores.

    Raises:
        ValueError: for a name that is not in `included()`; the message lists the known.
    """
    return json.loads(_path(name).with_suffix(".json").read_text(encoding="utf-8"))


def load(name, dtype="float32"):
    """Loads the included transformer of a corpus, for translation, and its tokenizer.

    Args:
        name: one of `included()`.
        dtype: precision policy to compute in.

    Returns:
        `(model, tokenizer)`: a `tfnmt.model.Transformer`, not compiled, and a `tfnmt.tokenizer.Tokenizer`.

    Raises:
        ValueError: for another name, and for weights that are not those of their record.

    Example:

    >>> Translator(*load("tatoeba")).translate(["Where is the station?"])
    ['Où est la gare\u202f?']
    """
    path = _path(name)
    if hashlib.sha256(path.read_bytes()).hexdigest() != read_record(name)["weights_sha256"]:
        raise ValueError(f"{path} is not the file of its record, {path.stem}.json; restore both")
    return _fitting(path, path.with_name(f"{path.stem}{TOKENIZER}"), dtype)


def load_trained(path, dtype="float32"):
    """As `load`, of a `model.keras` that has its `tokenizer.json` beside it, as training leaves them.

    Raises:
        ValueError: for files that hold no such model; `OSError` where one is missing.
    """
    path = Path(path)
    return _fitting(path, path.with_name("tokenizer.json"), dtype)


def _fitting(path, tokenizer_path, dtype):
    model, tokenizer = _loaded(path), Tokenizer.load(tokenizer_path)
    if tokenizer.size != model.vocabulary_size:
        raise ValueError(
            f"{tokenizer_path} is not the tokenizer of {path}: it has {tokenizer.size:,} words, and the model "
            f"{model.vocabulary_size:,}"
        )
    copy = type(model).from_config({**model.get_config(), "dtype": dtype})
    copy.set_weights(model.get_weights())
    return copy, tokenizer


def _loaded(path):
    import keras

    from tfnmt.model import Transformer

    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras lets whatever its parsers raise through
        problem = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise ValueError(f"{path} is no model that Keras can load ({problem[:200]})") from error
    if not isinstance(model, Transformer):
        raise ValueError(f"{path} holds no transformer")
    return model


def _path(name):
    path = WEIGHTS / f"{name}.keras"
    if not path.is_file():
        raise ValueError(f"Weights are included of {', '.join(included()) or 'no corpus'}. Received: {name!r}")
    return path
