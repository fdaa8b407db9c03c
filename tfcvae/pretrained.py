"""Trained models: those that come with this package, for each of some datasets a conditional VAE and its judges, and
your own files.

`<name>.keras` is the conditional VAE, `<name>-judge.keras` and `<name>-judge-plain.keras` are the judges, and
`<name>-features.keras` is the feature network that training may use. Beside each file of weights lies its record: what
it was trained on and how it scores. Keras is imported only to load.
"""

import hashlib
import json
import re
import zipfile
from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""Holds the files, each with its record, `.json`."""

ROLES = ("-judge", "-judge-plain", "-features")


def included():
    """The names of the datasets whose models are included, sorted."""
    return sorted(path.stem for path in WEIGHTS.glob("*.keras") if not path.stem.endswith(ROLES))


def classifier_name(dataset, kind, network):
    """The name of the included weights of a classifier; None where there are none.

    Args:
        dataset: one of `included()`.
        kind: `"judge"` or `"features"`.
        network: a key of `tfcvae.judge.JUDGES` or `tfcvae.features.FEATURE_NETWORKS`.
    """
    name = f"{dataset}-{kind}" + "-plain" * network.startswith("plain")
    return name if (WEIGHTS / f"{name}.keras").is_file() else None


def read_record(name):
    """The record of an included model: what it was trained on, by which command, and how it scores.

    Args:
        name: one of `included()`, or that with one of `ROLES`.

    Raises:
        ValueError: for another name; the message lists the known.
    """
    return json.loads(_path(name).with_suffix(".json").read_text())


def load_model(name, dtype="float32"):
    """Loads the included conditional VAE of a dataset, or one of your own, for prediction.

    Args:
        name: one of `included()`, or the path of a file that ends in `.keras`.
        dtype: precision policy to predict in, where the model was trained in half precision; one that was trained in
            float32 stays so. Float32 gives the same images on every machine, and needs no hardware for bfloat16.

    Returns:
        A `tfcvae.model.CVAE`, not compiled.

    Raises:
        ValueError: for another name, with the known in its message, for a file that can't be loaded or holds another
            model, and for included weights that are not those of their record.

    Example:

    >>> model = load_model("cifar10")
    >>> model.sample([3, 1, 4], seed=0).shape
    (3, 32, 32, 3)
    """
    from tfcvae.model import CVAE

    model = load_network(name, dtype)
    if not isinstance(model, CVAE):
        raise ValueError(f"{name} is no conditional VAE. Received: a {type(model).__name__} named {model.name}")
    return model


def load_judges(name, dtype="float32"):
    """Loads the included judges of a dataset, which its model was scored with; see `tfcvae.judge.predict_labels`.

    Arguments and error as for `load_model`.

    Returns:
        `{network: model}`, each from images `(batch, *image_shape)` in [0, 1] to float32 logits `(batch, num_classes)`.
    """
    _path(f"{name}-judge")
    names = [f"{name}{role}" for role in ROLES if role.startswith("-judge")]
    names = [judge for judge in names if (WEIGHTS / f"{judge}.keras").is_file()]
    return {read_record(judge)["variant"]: load_network(judge, dtype) for judge in names}


def load_network(name, dtype="float32"):
    """Loads any included network by the stem of its file; arguments and error as for `load_model`."""
    import keras

    if str(name).endswith(".keras"):
        model = _load_file(Path(name))
    else:
        path, record = _path(name), read_record(name)
        if hashlib.sha256(path.read_bytes()).hexdigest() != record["weights_sha256"]:
            raise ValueError(f"{path} is not the file of its record, {path.stem}.json; restore both")
        model = keras.models.load_model(path, compile=False)
    copy = keras.models.model_from_json(re.sub(r'"mixed_b?float16"', f'"{dtype}"', model.to_json()))
    copy.set_weights(model.get_weights())
    return copy


def _load_file(path):
    import keras

    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):  # Keras would call it missing
                raise ValueError("cut short, or not written by Keras")
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras lets whatever its parsers raise through
        problem = (getattr(error, "strerror", None) or str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} is no model that Keras can load ({problem[:200]})") from error


def _path(name):
    path = WEIGHTS / f"{name}.keras"
    if not path.is_file():
        raise ValueError(f"Weights are included of {', '.join(included()) or 'no dataset'}. Received: {name!r}")
    return path
