"""Puts figures from the records into README.md and the pages of docs/, so that none is typed in.

    python experiments/maintenance/readme.py

Three kinds of places are filled:

    <!-- table FOLDER --> ... <!-- end of table -->       the table of a run, such as unet/oxford_iiit_pet/cpu
    <!-- table included --> ... <!-- end of table -->     the models that come with the repository
    <!-- value FILE KEY FORMAT -->0.81<!-- end -->        a figure of a JSON file: tfseg/weights/pets.json test.iou .2f
"""

import re
import sys
from functools import reduce
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.reporting import report  # noqa: E402
from experiments.harness.running.errors import UserError, run_main  # noqa: E402
from experiments.harness.running.parser import Parser  # noqa: E402
from experiments.harness.running.runs import read_json, write_atomic  # noqa: E402
from experiments.maintenance.included import included_table  # noqa: E402
from experiments.maintenance.summary import sections  # noqa: E402

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TABLE = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
VALUE = re.compile(r"(<!-- value (\S+) (\S+) (\S+) -->).*?(<!-- end -->)", re.DOTALL)


def fill(text, results):
    """Returns a page with every table and figure filled in.

    Args:
        text: Markdown.
        results: folder of the records.

    Raises:
        UserError: for a table without a record, a missing file, or a key that it does not hold.
    """
    records, known = report.read_records(results), sections()

    def table(match):
        head, folder, end = match.groups()
        if folder == "included":
            return f"{head}\n{included_table(ROOT)}\n\n{end}"
        run = [record for record in records if record["folder"].startswith(f"{folder}/")]
        if not run:
            raise UserError(f"a page asks for the table of {folder}, and {results} has no record of it.")
        return f"{head}\n{known[run[0]['experiment']].short_table(run)}\n\n{end}"

    def value(match):
        head, file, key, form, end = match.groups()
        return f"{head}{_look_up(ROOT / file, key):{form}}{end}"

    return VALUE.sub(value, TABLE.sub(table, text))


def _look_up(path, key):
    try:
        return reduce(lambda found, name: found[name], key.split("."), read_json(path))
    except (KeyError, TypeError):
        raise UserError(f"a page asks for {key} of {path}, which does not hold it.") from None


def parse_arguments(argv=None):
    return Parser(__doc__).parse_args(argv)


def main():
    parse_arguments()
    for page in PAGES:
        write_atomic(page, fill(page.read_text(), ROOT / "results"))


if __name__ == "__main__":
    run_main(main)
