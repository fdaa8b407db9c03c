"""The notebooks run from start to end, anywhere in the repository; the committed ones show what they computed."""

import base64
import json
import re

import nbformat
import pytest

from experiments.harness.running.errors import UserError
from experiments.notebooks.execute import FOLDER, NOTEBOOKS, execute
from tests.experiments.sessions import ROOT

PICTURES = {"cvae_mnist": 4, "cvae_cifar10": 4, "unet_matrix": 3, "translation": 2}
SMOKE = {
    "cvae_mnist": {"DATA": "glyphs", "LIVE": True, "EPOCHS": 1, "TEST_IMAGES": 100},
    "cvae_cifar10": {"DATA": "glyphs-colour", "LIVE": True, "EPOCHS": 1, "TEST_IMAGES": 100},
    "unet_matrix": {"DATA": "shapes", "SIZE": 32, "FILTERS": 4, "EPOCHS": 1, "TRAIN_IMAGES": 32, "TEST_IMAGES": 8},
    "translation": {"DATA": "numbers", "PAIRS": 300, "HELD_OUT": 20, "VOCABULARY": 300, "EPOCHS": 1},
}
PNG = b"\x89PNG\r\n"
MAX_BYTES = 1_500_000


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def pictures(notebook):
    """The PNG files that a notebook shows."""
    return [base64.b64decode(output.data["image/png"]) for output in outputs(notebook) if "image/png" in _data(output)]


def written(notebook):
    """All text that a notebook's cells printed or returned."""
    parts = [output.get("text", "") for output in outputs(notebook)]
    parts += [text for output in outputs(notebook) for kind, text in _data(output).items() if kind.startswith("text/")]
    return "\n".join("".join(part) for part in parts)


def _data(output):
    return output.get("data", {})


def assert_clean(notebook, name):
    """Executed from top to bottom without an error or a warning, with all pictures, and of no particular machine."""
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    assert {output.output_type for output in outputs(notebook)} <= {"stream", "display_data", "execute_result"}
    assert not [output.text for output in outputs(notebook) if output.get("name") == "stderr"]
    assert len(pictures(notebook)) == PICTURES[name] and all(png.startswith(PNG) for png in pictures(notebook))
    assert not re.search(r"(^|[\s'\"(=])(/|~/|[A-Z]:\\)\w", written(notebook))
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_notebook_shows_what_it_computed(name):
    path = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert_clean(notebook, name)
    assert path.stat().st_size < MAX_BYTES
    data = re.search(r'^DATA = "(\w+)"', notebook.cells[2].source, re.MULTILINE)[1]  # the real one, not a stand-in
    assert data in ("mnist", "cifar10", "oxford_iiit_pet", "numbers")
    assert f"\n{data}: " in f"\n{written(notebook)}"
    assert "LIVE = True" not in notebook.cells[2].source  # the included, fully trained models


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_needs_the_libraries_alone(name):
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    assert [n for n, cell in enumerate(cells) if cell["metadata"].get("tags")] == [2]
    assert cells[2]["metadata"]["tags"] == ["parameters"]
    parameters = [*SMOKE[name], *["DATA_DIR"] * (name != "translation")]
    assert all(f"{parameter} = " in sources[2] for parameter in parameters)
    assert "pip" in sources[1] and "REPOSITORY" in sources[1]  # where the libraries are not installed, as on Colab
    assert not re.search(r"^\s*(from|import) experiments", "\n".join(sources), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, where", list(zip(SMOKE, (FOLDER, ROOT / "tests", FOLDER, FOLDER), strict=True)), ids=list(SMOKE)
)
def test_notebook_runs_in_smoke_size(name, where):
    path = FOLDER / f"{name}.ipynb"
    before = path.read_bytes()
    notebook = execute(path, SMOKE[name], where)
    assert_clean(notebook, name)
    text = written(notebook)
    data, count = SMOKE[name]["DATA"], SMOKE[name].get("TEST_IMAGES") or SMOKE[name]["HELD_OUT"]
    assert re.search(rf"{data}: [\d,]+ train \w+, {count} test (images|pairs)", text)
    assert not name.startswith("cvae") or "one-hot labels give the same latent: True" in text
    assert path.read_bytes() == before


def test_a_cell_that_raises_is_named_and_nothing_is_written(tmp_path):
    cells = [nbformat.v4.new_code_cell("X = 1"), nbformat.v4.new_code_cell("1 / (X - 2)")]
    cells[0].metadata["tags"] = ["parameters"]
    path = tmp_path / "tiny.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    before = path.read_bytes()
    with pytest.raises(UserError, match="tiny.ipynb stopped with ZeroDivisionError: division by zero"):
        execute(path, {"X": 2})
    assert path.read_bytes() == before
