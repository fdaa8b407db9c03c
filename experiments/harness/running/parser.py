"""The parser of every script's options."""

import argparse
import difflib


class Parser(argparse.ArgumentParser):
    """Shows a script's docstring, `doc`, as it stands, and says in one line what is wrong with an option.

    Abbreviated options are mistakes: they would end up in records.
    """

    def __init__(self, doc):
        super().__init__(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def parse_args(self, args=None, namespace=None):
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            close = difflib.get_close_matches(unknown[0].partition("=")[0], options, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found

    def error(self, message):
        self.exit(2, f"error: {message}; --help shows all options\n")
