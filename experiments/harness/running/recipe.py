"""Recipes: frozen dataclasses whose fields say what they mean, what they may be and whether an option sets them.

From these follow the options of a script and the check of a recipe, so that neither is written by hand.
"""

from dataclasses import field, fields

from experiments.harness.running import runs


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
        about, least, most, names, option = (
            known.metadata.get(k) for k in ("about", "least", "most", "names", "option")
        )
        if not option:
            continue
        number = runs.whole(least) if isinstance(known.default, int) else runs.number(least, most)
        keywords = {"choices": names} if names else {"type": number}
        keywords |= {"help": about} | (option if isinstance(option, dict) else {})
        parser.add_argument(f"--{known.name.replace('_', '-')}", **keywords)


def given(args, recipe):
    """The fields of a recipe's class that a parser's options set, `{name: value}`."""
    found = {known.name: getattr(args, known.name, None) for known in fields(recipe) if known.metadata.get("option")}
    return {name: value for name, value in found.items() if value is not None}


def pick_preset(requested, device):
    """Resolves `auto`: `gpu` on a GPU, `cpu` elsewhere."""
    return requested if requested != "auto" else device.lower()
