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


def publish(results):
    """Writes the summary of all records below a folder, says where, and returns its path."""
    path = report.write_summary(results, {name: section.write for name, section in sections().items()})
    print(f"Summary: {path}", flush=True)
    return path
