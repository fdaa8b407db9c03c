"""What a user sees when a script cannot go on: one line, not a traceback."""

import errno
import re
import sys


class UserError(Exception):
    """A mistake of the user's or of the machine's that the message explains: what was wrong and what to do."""


def run_main(main, resumes=False):
    """Calls a script's `main()` and turns the failures a user can mend into one line on stderr and an exit status.

    `UserError`, a full disk and an exhausted quota exit with status 2, Ctrl-C with 130. Any other exception goes on as
    it is, and what `main` returns is returned. `resumes` says whether the same command goes on where it was
    interrupted.
    """
    try:
        return main()
    except UserError as error:
        _exit(f"error: {' '.join(str(error).split())}", 2)
    except KeyboardInterrupt:
        command = "the same command without --force" if "--force" in sys.argv else "the same command"
        _exit(f"interrupted: {command} goes on where it stopped" if resumes else "interrupted", 130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        _exit(f"error: disk is full{where}; free some space, then run the same command again", 2)


def first_line(error):
    """The line of an error's message that says what is wrong, without TensorFlow's node names, 200 characters at most.

    It is the first one, but the last one where TensorFlow tells first where in the user's code that was.
    """
    lines = re.sub(r"\{\{.*?\}\}| \[Op:.*", "", str(error)).strip().splitlines()
    line = lines[-1 if lines[0] == "in user code:" else 0].strip() if lines else type(error).__name__
    return line[:200]


def _exit(line, status):
    print(line, file=sys.stderr)
    sys.exit(status)
