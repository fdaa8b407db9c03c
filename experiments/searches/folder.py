"""Where a search lies, and whether what lies there already is the same search."""

import json
from pathlib import Path

from experiments.harness.running import runs
from experiments.harness.running.errors import UserError

CONFIG, BEST, TABLE, WORK, ORACLE = "config.json", "best.json", "trials.csv", "work", "oracle.json"


def choose_folder(parent, name, is_given, config, force=False):
    """Picks the folder of a search: `name`, or, where that holds another search and was not asked for, `name-2`, ...

    Returns `(folder, notices)`: a sentence for each folder passed over because its search can't go on. Raises
    `UserError` if a folder that was asked for holds another search, or one that can't go on.

    Args:
        parent: `<results>/tuning`.
        name: of the folder, and `is_given`, whether the user asked for it.
        config: JSON-like, what the folder's `config.json` must say.
        force: whatever a folder holds of this search, or a folder that was asked for, may be replaced.
    """
    config, notices = json.loads(json.dumps(config)), []
    for candidate in [name] + [f"{name}-{n}" for n in range(2, 1000)]:
        folder = Path(parent) / candidate
        if not any((folder / file).exists() for file in (CONFIG, runs.RECORD)) or (is_given and force):
            return folder, notices
        found = runs.read_json(folder / CONFIG)
        differing = ", ".join(key for key in config if found.get(key) != config[key])
        if not differing and (force or (folder / WORK / ORACLE).exists() or not (folder / runs.RECORD).exists()):
            return folder, notices
        if differing:
            problem = f"{folder} holds another search, of other {differing}"
        else:
            problem = f"{folder} holds a record without the search's state (as in a fresh clone)"
            notices.append(f"{problem}: searching in another folder.")
        if is_given:
            raise UserError(f"{problem}; choose another --name, or replace it with --force.")
    raise UserError(f"No free folder for {name} in {parent}: delete searches that are no longer needed.")
