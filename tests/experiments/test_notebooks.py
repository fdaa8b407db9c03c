"""The notebooks run from start to end, anywhere in the repository; the committed ones show what they computed."""

import base64
import json
import re

import nbformat
import pytest

from experiments.harness.running.errors import UserError
from experiments.notebooks import execute as execute_script
from experiments.notebooks.execute import FOLDER, NOTEBOOKS, execute
from tests.experiments.sessions import ROOT, quick

PICTURES = {"cvae_mnist": 7, "cvae_cifar10": 5}
SMOKE = {"PRESET": "smoke", "IMAGES_SEEN": 1_600, "TEST_IMAGES": 100, "JUDGE_EPOCHS": 1}
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
    data = name.removeprefix("cvae_")  # the real one, not a stand-in
    assert f'DATA = "{data}"' in notebook.cells[1].source and f"\n{data}: " in f"\n{written(notebook)}"


def test_notebooks_are_those_that_are_promised():
    assert set(NOTEBOOKS) == set(PICTURES)
    for name in NOTEBOOKS:
        cells = json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]
        assert [n for n, cell in enumerate(cells) if cell["metadata"].get("tags")] == [1]
        assert cells[1]["metadata"]["tags"] == ["parameters"]
        assert all(f"{parameter} = " in "".join(cells[1]["source"]) for parameter in ("DATA", "DATA_DIR", *SMOKE))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, data, where",
    [("cvae_mnist", "glyphs", FOLDER), ("cvae_cifar10", "glyphs-colour", ROOT / "tests")],
)
def test_notebook_runs_in_smoke_size(name, data, where):
    path = FOLDER / f"{name}.ipynb"
    before = path.read_bytes()
    notebook = execute(path, {"DATA": data, **SMOKE}, where)
    assert_clean(notebook, name)
    text = written(notebook)
    assert f"{data}: 500 train images (50 of them for validation), 100 test images" in text
    assert "one-hot labels give the same latent: True" in text
    assert re.search(r"The judge reads \d+\.\d% of 150 real images rightly\.", text)
    assert "100 test images, each under 2 wrong labels" in text
    assert re.search(r"\| read as the label sent in, \(a\).*\| \d+\.\d \|", text)
    assert path.read_bytes() == before


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A folder with a notebook of two cells, `X = 1` and `1 / (X - 2)`, that the script takes for its own."""
    cells = [nbformat.v4.new_code_cell("X = 1"), nbformat.v4.new_code_cell("1 / (X - 2)")]
    cells[0].metadata["tags"] = ["parameters"]
    path = tmp_path / "tiny.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    monkeypatch.setattr(execute_script, "FOLDER", tmp_path)
    monkeypatch.setattr(execute_script, "NOTEBOOKS", ("tiny",))
    return path


def test_the_script_executes_in_place_and_again(tiny, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["execute.py", "tiny"])
    for _ in range(2):
        execute_script.main()
        notebook = nbformat.read(tiny, as_version=4)
        assert [cell.source for cell in code_cells(notebook)] == ["X = 1", "1 / (X - 2)"]
        assert [cell.execution_count for cell in code_cells(notebook)] == [1, 2]
        assert written(notebook).strip() == "-1.0"
    assert [path.name for path in tiny.parent.iterdir()] == ["tiny.ipynb"]


def test_a_cell_that_raises_is_named_and_nothing_is_written(tiny):
    before = tiny.read_bytes()
    with pytest.raises(UserError, match="tiny.ipynb stopped with ZeroDivisionError: division by zero"):
        execute(tiny, {"X": 2})
    assert tiny.read_bytes() == before


def test_a_notebook_that_is_not_there(tmp_path):
    done = quick(tmp_path, FOLDER / "execute.py", "cvae_mnst")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there are cvae_cifar10, cvae_mnist. Received: cvae_mnst;")
    done = quick(tmp_path, FOLDER / "execute.py", "--data-dir", "absent")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --data-dir absent is not a folder; create it, or leave the option out\n"
