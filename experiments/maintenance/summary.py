"""`results/summary.md`: the sections that the experiments declare, each in its folder's `report.py`.

Scripts publish it after their run, so that no experiment has to know the others.
"""

import importlib
from pathlib import Path

from experiments.harness.reporting import report

EXPERIMENTS = Path(__file__).resolve().parent.parent


def sections():
    """The `report.Section`s of all experiments, `{experiment: Section}`, in the order of the page."""
    names = sorted(path.parent.name for path in EXPERIMENTS.glob("*/report.py"))
    modules = [importlib.import_module(f"experiments.{name}.report") for name in names]
    found = sorted((section for module in modules for section in module.SECTIONS), key=lambda section: section.place)
    return {section.experiment: section for section in found}


def publish(results, run=None):
    """Writes the summary of all records below a folder, says where, and returns its path.

    Where `run`, the folder of a run, is given, that run's own table is printed first.
    """
    known = sections()
    if run is not None:
        within = f"{Path(run).resolve().relative_to(Path(results).resolve()).as_posix()}/"
        records = [record for record in report.read_records(results) if record["folder"].startswith(within)]
        if records:
            table, note = known[records[0]["experiment"]].short_table(records).split("\n\n")[:2]
            print(f"\n{table}\n\n{note}\n")
    path = report.write_summary(results, {name: section.write for name, section in known.items()})
    print(f"Summary: {path}", flush=True)
    return path
