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

from experiments.harness.reporting import report
from experiments.harness.running.errors import UserError, run_main
from experiments.harness.running.parser import Parser
from experiments.harness.running.runs import read_json, write_atomic
from experiments.maintenance.summary import sections

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TABLE = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
VALUE = re.compile(r"(<!-- value (\S+) (\S+) (\S+) -->).*?(<!-- end -->)", re.DOTALL)


def fill(text, results):
    """Returns a page with every table and figure filled in, from the records below `results`.

    Raises `UserError` for a table without a record, a missing file, or a key that it does not hold.
    """
    records, known = report.read_records(results), sections()

    def table(match):
        head, folder, end = match.groups()
        if folder == "included":
            return f"{head}\n{included_table()}\n\n{end}"
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


def included_table():
    """The models that come with the repository: what each does, how it scores on the test split, how large it is."""
    rows = []
    for library, describe in KINDS.items():
        for path in sorted((ROOT / library / "weights").glob("*.keras")):
            record = read_json(path.with_suffix(".json"))
            if record["experiment"] in ("judge", "features"):
                continue
            mib = path.stat().st_size / 2**20
            name = path.relative_to(ROOT).with_suffix("").as_posix()
            kind, scores = describe(record)
            does, data = f"{kind} `{record['variant']}`", f"`{record['dataset']}`"
            rows.append([f"[`{name}`]({name}.json)", does, data, scores, f"{mib:.1f} MiB"])
    return report.table(["weights", "what they do", "data", "on the test split", "size"], rows, left=4)


def _unet(record):
    test = record["test"]
    return "photo to mask: U-Net", f"IoU {test['iou']:.3f}, at photo size {test['iou_native']:.3f}"


def _cvae(record):
    relabel = record["test"]["relabel"]
    reading, style = relabel["readings"]["a"], relabel.get("style")
    kept = f"images kept (retention) {reading['retention']:.1%}"
    if style:  # of digits retention says little
        kept = f"slant kept {style['slant']:.2f}, stroke thickness {style['stroke_thickness']:.2f} (correlation)"
    return "image under any label: conditional VAE", f"wrong labels obeyed {reading['accuracy']:.1%}, {kept}"


def _translator(record):
    test = record["test"]
    return "English to French: transformer", f"BLEU {test['bleu']:.1f}, chrF {test['chrf']:.1f}"


KINDS = {"tfseg": _unet, "tfcvae": _cvae, "tfnmt": _translator}
"""What a library's models do, and their scores, of a record."""


def parse_arguments(argv=None):
    return Parser(__doc__).parse_args(argv)


def main():
    parse_arguments()
    for page in PAGES:
        write_atomic(page, fill(page.read_text(), ROOT / "results"))


if __name__ == "__main__":
    run_main(main)
