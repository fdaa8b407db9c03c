"""A named collection of functions: how blocks and losses are chosen by name and extended by users."""


class Registry:
    """Maps names to functions.

    A decorator adds an entry in one line; an unknown name is an error that lists the known ones.

    Args:
        kind: what the entries are, for error messages (`"down block"`).

    Example:

    >>> DOWN_BLOCKS = Registry("down block")
    >>> @DOWN_BLOCKS.register("average")
    ... def average(x, filters, normalization, name):
    ...     return keras.layers.AveragePooling2D(2, name=f"{name}_pool")(x)
    """

    def __init__(self, kind):
        self.kind = kind
        self._entries = {}

    def register(self, name):
        """Returns a decorator that files a function under `name`; a second registration replaces the first."""

        def add(function):
            self._entries[name] = function
            return function

        return add

    def __getitem__(self, name):
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            known = ", ".join(sorted(self._entries))
            raise ValueError(f"Unknown {self.kind}. Choose one of: {known}. Received: {name!r}") from None

    def __contains__(self, name):
        return name in self._entries

    def __iter__(self):
        return iter(sorted(self._entries))
