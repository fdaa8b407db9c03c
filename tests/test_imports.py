"""Imports run one way: libraries know nothing above them, and an experiment's folder none but those it builds on."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = sorted(path.parent.name for path in ROOT.glob("tf*/__init__.py"))
FOLDERS = sorted(path.parent.name for path in ROOT.glob("experiments/*/__init__.py"))
BUILDS_ON = {
    "benchmarks": {"unets", "cvaes", "nmts"},
    "unets": {"searches"},
    "cvaes": {"searches"},
    "page": {"unets"},
    "maintenance": {"page"},
}
"""The benchmark measures models; a model's `tuning.py` says what a search tunes; the page shows masks as the U-Nets'
pictures do, and its own pictures are made again."""


def imports(folder):
    """The modules that a folder's files import, by their full names."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_knows_neither_experiments_nor_other_libraries(library):
    assert {name.split(".")[0] for name in imports(ROOT / library)} & {"experiments", *LIBRARIES} <= {library}


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_experiment_builds_on_the_harness_and_knows_no_other(folder):
    parts = [name.split(".") for name in imports(ROOT / "experiments" / folder)]
    known = {part[1] for part in parts if part[0] == "experiments"}
    assert known <= {folder, "harness"} | BUILDS_ON.get(folder, set())
    assert not known & {path.stem for path in ROOT.glob("experiments/*.py")}  # the scripts
    if folder == "harness":
        libraries = {".".join(part[:2]) for part in parts if part[0] in LIBRARIES}
        assert known == {"harness"} and libraries <= {"tfseg.photos"}  # which reads image files, of whatever
