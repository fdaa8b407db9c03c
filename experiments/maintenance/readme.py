"""Puts tables from the records into README.md, between its `<!-- table FOLDER -->` and `<!-- end of table -->` lines.

    python experiments/maintenance/readme.py

FOLDER is a run folder below `results/`, such as `unet/oxford_iiit_pet/cpu`. No figure in the README is typed in.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.reporting import report  # noqa: E402
from experiments.harness.running.errors import UserError, run_main  # noqa: E402
from experiments.harness.running.parser import Parser  # noqa: E402
from experiments.harness.running.runs import write_atomic  # noqa: E402
from experiments.maintenance.summary import sections  # noqa: E402

BLOCK = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def fill_tables(text, results):
    """Returns a Markdown text with every table block filled from the records below `results`."""
    records, known = report.read_records(results), sections()

    def fill(match):
        head, folder, end = match.groups()
        run = [record for record in records if record["folder"].startswith(f"{folder}/")]
        if not run:
            raise UserError(f"README.md asks for the table of {folder}, and {results} has no record of it.")
        return f"{head}\n{known[run[0]['experiment']].short_table(run)}\n\n{end}"

    return BLOCK.sub(fill, text)


def main():
    Parser(__doc__).parse_args()
    readme = ROOT / "README.md"
    write_atomic(readme, fill_tables(readme.read_text(), ROOT / "results"))


if __name__ == "__main__":
    run_main(main)
