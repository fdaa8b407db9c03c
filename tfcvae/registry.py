"""How likelihoods, priors and network sizes are chosen by name: from a plain dictionary that users may add to."""


def choose(entries, name, kind):
    """Looks a name up.

    Args:
        entries: dictionary, name to entry.
        name: the name asked for.
        kind: what the entries are, for the error message (`"likelihood"`).

    Raises:
        ValueError: for an unknown name; the message lists the known.
    """
    try:
        return entries[name]
    except (KeyError, TypeError):
        known = ", ".join(sorted(entries))
        raise ValueError(f"Unknown {kind}. Choose one of: {known}. Received: {name!r}") from None
