"""The options that searches share, and the process's part in a search; imports nothing heavy."""

import os
import re

from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from experiments.harness.running.start import add_run_options

TUNERS = ("hyperband", "bayesian", "random")
VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


def add_options(parser, presets, results):
    """Adds the options of a search to a parser; `results` is the default folder of all results."""
    add_run_options(parser, presets, results, strategy=False)
    add = parser.add_argument
    add("--tuner", default="hyperband", choices=TUNERS, help="default: %(default)s")
    add("--trials", type=runs.whole(1), default=0, metavar="N",
        help="at most so many; more than before go on with a finished search "
             "(default: one sweep of Hyperband, or as many epochs in all)")  # fmt: skip
    add("--max-epochs", type=runs.whole(1), metavar="N", help="of the longest trial (default: the preset's)")
    add("--max-failures", type=runs.whole(1), default=3, metavar="N",
        help="so many failed trials in a row end the search (default: %(default)s)")  # fmt: skip
    add("--seed", type=runs.whole(0), default=0, metavar="N", help="of choices, weights and data (default: 0)")
    add("--name", help="folder below tuning/ in the results (default: by model, data, preset and tuner)")


def check_options(args):
    """Refuses what can't work, before anything slow happens; returns the process's `role`."""
    part = role()
    if args.name is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", args.name):
        raise UserError(f"--name must consist of letters, digits, ., - and _. Received: {args.name!r}")
    if part == "worker" and args.force:
        raise UserError("--force is the chief's to decide; leave it out for a worker.")
    if part != "alone":
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # or the first process takes all of a GPU's memory
    return part


def role():
    """What Keras Tuner's environment variables make of this process: `"alone"`, `"chief"` or `"worker"`.

    Raises `UserError` if only some of the variables are set, or one makes no sense.
    """
    given = [name for name in VARIABLES if os.environ.get(name)]
    if not given:
        for name in VARIABLES:
            os.environ.pop(name, None)  # Keras Tuner takes an empty one for a chief's address
        return "alone"
    if len(given) < len(VARIABLES):
        missing = " and ".join(name for name in VARIABLES if name not in given)
        raise UserError(f"{given[0]} is set but not {missing}; a search in several processes needs all three.")
    tuner, _, port = map(os.environ.get, VARIABLES)
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(f"KERASTUNER_ORACLE_PORT must be a port from 1 to 65535. Received: {port!r}")
    return "chief" if "chief" in tuner else "worker"  # as Keras Tuner reads it
