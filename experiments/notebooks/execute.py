"""Executes the notebooks beside this file and keeps what they print and draw in them.

    python experiments/notebooks/execute.py                     # all, some minutes on 2 cores
    python experiments/notebooks/execute.py cvae_mnist          # one
    python experiments/notebooks/execute.py --data-dir DIR      # datasets prepared by TFDS in DIR

A notebook that fails stays as it was.
"""

import base64
import io
import os
import re
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent.parent))

from experiments.harness.reporting.figures import png_bytes
from experiments.harness.running import runs
from experiments.harness.running.errors import UserError, run_main
from experiments.harness.running.parser import Parser

CELL_SECONDS = 1800
"""The longest that a cell may take."""

START_UP = re.compile(r"WARNING: All log messages before absl|[IWE]\d{4} |$")
"""How the lines begin that TensorFlow writes to stderr when it starts."""

NOTEBOOKS = tuple(sorted(path.stem for path in FOLDER.glob("*.ipynb")))


def execute(path, parameters=None, folder=None):
    """Runs all cells of a notebook, which is only read, in a kernel of its own.

    Returns the executed notebook, an `nbformat.NotebookNode`, without anything that says when and where it ran. A
    `UserError` tells of a cell that raises or takes too long, and of a kernel that dies.

    Args:
        parameters: `{name: value}` to set after the cell that is tagged `parameters`.
        folder: where the kernel works; by default the notebook's folder.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.read(path, as_version=4)
    if parameters:
        tagged = next(n for n, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
        lines = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        notebook.cells.insert(tagged + 1, nbformat.v4.new_code_cell(lines))
    metadata = notebook.metadata.copy()
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        startup_timeout=300,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # no warning that it listens on ports of this machine
        resources={"metadata": {"path": str(folder or path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise UserError(f"{path.name} stopped with {error.ename}: {error.evalue}") from error
    except CellTimeoutError:
        raise UserError(f"{path.name}: a cell took longer than {CELL_SECONDS} s") from None
    except (DeadKernelError, AssertionError):  # the latter is what nbclient makes of it while it cleans up
        raise UserError(f"{path.name}: its kernel died, perhaps for lack of memory") from None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [_smaller(output) for output in cell.outputs if not _is_start_up(output)]
    notebook.metadata = metadata
    return notebook


def _is_start_up(output):
    """Whether an output is nothing but what TensorFlow writes when it starts."""
    return output.get("name") == "stderr" and all(map(START_UP.match, output.text.splitlines()))


def _smaller(output):
    """An output whose picture, if it has one, is reduced to 256 colours."""
    from PIL import Image

    data = output.get("data", {})
    if "image/png" in data:
        image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        data["image/png"] = base64.b64encode(png_bytes(image.quantize(256))).decode()
    return output


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help=f"any of {', '.join(NOTEBOOKS)}")
    parser.add_argument("--data-dir", help="folder of prepared TFDS datasets (default: TFDS_DATA_DIR, else TFDS's own)")
    args = parser.parse_args(argv)
    unknown = set(args.notebooks) - set(NOTEBOOKS)
    if unknown:
        parser.error(f"there are {', '.join(NOTEBOOKS)}. Received: {', '.join(sorted(unknown))}")
    return args


def main():
    args = parse_arguments()
    if args.data_dir and not Path(args.data_dir).is_dir():
        raise UserError(f"--data-dir {args.data_dir} is not a folder; create it, or leave the option out")
    if args.data_dir:
        os.environ["TFDS_DATA_DIR"] = str(Path(args.data_dir).resolve())  # for the kernel

    import nbformat

    for name in args.notebooks or NOTEBOOKS:
        path = FOLDER / f"{name}.ipynb"
        print(f"Executing {path.name} ...", flush=True)
        started = time.perf_counter()
        executed = execute(path)
        runs.write_atomic(path, f"{nbformat.writes(executed)}\n")
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(run_main(main))
