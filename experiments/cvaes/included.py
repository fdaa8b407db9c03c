"""The weights that come with the repository, for `cvae.py --wrong-labels-only` where no model has been trained.

Decides before TensorFlow is imported; `cvaes.run.draw_included` draws.
"""

from dataclasses import dataclass

from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from tfcvae import pretrained


@dataclass(frozen=True)
class Request:
    """What a command asks for in so many words; `"auto"`, None and `{}` leave it open.

    Attributes:
        data, preset: names.
        models, seeds: lists, or None.
        options: fields of `Recipe` and `latent_dim`, as `cvae.overrides` returns them.
    """

    data: str = "auto"
    preset: str = "auto"
    models: list | None = None
    seeds: list | None = None
    options: dict | None = None


def missing(parent, models, seeds):
    """The models, as (model, seed), that no run of a dataset holds trained; `parent` is `<results>/cvae/<dataset>`."""
    folders = [path for path in parent.glob("*") if path.is_dir()]
    wanted = [(model, seed) for seed in seeds for model in models]
    return [m for m in wanted if not any(runs.is_finished(runs.seed_folder(folder, *m)) for folder in folders)]


def find(choice, request, where, absent):
    """Looks for included weights in place of models that have not been trained, and says in a line that it takes them.

    Returns the record of the weights. Raises `UserError` where no weights of the dataset are included, or the command
    asks for another model than theirs.

    Args:
        request: a `Request`.
        where, absent: a folder, and the models, as (model, seed), that it does not hold.
    """
    lacking = f"{where} holds no trained model ({', '.join(f'{model} seed {seed}' for model, seed in absent)})"
    remedy = "Run the command without --wrong-labels-only to train it"
    names = pretrained.included()
    if choice.name not in names:
        known = f", only of {' and '.join(names)}" if names else ""
        reason = f" {choice.notice}" if request.data == "auto" else ""
        raise UserError(f"{lacking}, and no weights of {choice.name} are included{known}. {remedy}.{reason}")
    record = pretrained.read_record(choice.name)
    others = _differences(request, record)
    if others:
        another = f"{lacking}, and the included weights are of another: {'; '.join(others)}"
        raise UserError(f"{another}. {remedy}, or without these options.")
    path = pretrained.WEIGHTS / f"{choice.name}.keras"
    print(f"{lacking}: taking the included weights, {path}, made by `{record['command']}`.")
    return record


def preset_of(record):
    """The preset of the run that left a record; the run is named after it."""
    return record["run"].split("-")[0]


def _differences(request, record):
    """What a command asks for and the included model is not: `"seed 3 (included: 0)"`."""
    config, options = record["config"], dict(request.options or {})
    if "latent_dim" in options:
        options["latent_shape"] = (*config["latent_shape"][:-1], options.pop("latent_dim"))
    asked = {"model": request.models, "seed": request.seeds}
    asked |= {"preset": None if request.preset == "auto" else request.preset, **options}
    has = {**config, "model": [record["variant"]], "seed": [record["seed"]], "preset": preset_of(record)}
    others = {name: value for name, value in asked.items() if value is not None and _plain(value) != has.get(name)}
    return [f"{name} {_text(value)} (included: {_text(has.get(name))})" for name, value in others.items()]


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def _text(value):
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
