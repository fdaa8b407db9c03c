"""From every `record.json` to one `summary.md`, and the Markdown pieces that its sections are made of.

The skeleton knows records, not experiments: what an experiment's section says is a function that its own module writes.
"""

import csv
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from experiments.harness.running.errors import UserError
from experiments.harness.running.runs import read_json, write_atomic

INTRODUCTION = """# Results

Every figure here comes from a `record.json` that an experiment wrote below this folder. The experiments rewrite this
page from all the records they find, so edits made by hand are lost.
"""

MISSING = "–"


@dataclass(frozen=True)
class Section:
    """What an experiment adds to the summary; a folder's `report.py` lists its own as `SECTIONS`.

    Attributes:
        experiment: the name in records.
        place: on the page; smaller numbers come first.
        write: maps `(records, results_dir)`, the records of the experiment, to Markdown that opens with a level-2
            heading, or a level-3 heading where it goes on with the section before it.
        short_table: maps the records of one run folder to the table that README.md shows; None where it shows none.
    """

    experiment: str
    place: int
    write: Callable
    short_table: Callable | None = None


def write_summary(results_dir, sections):
    """Writes `summary.md`, as `summary` makes it, into the folder of the records, atomically; returns its path."""
    path = Path(results_dir) / "summary.md"
    write_atomic(path, summary(results_dir, sections))
    return path


def summary(results_dir, sections):
    """The summary of all records under a folder, at any depth, in Markdown.

    Args:
        sections: `{experiment: function}` in the page's order. The functions are `Section.write`. Experiments that have
            records but no function are listed by folder.
    """
    results_dir = Path(results_dir)
    groups = {name: [] for name in sections}
    for record in read_records(results_dir):
        groups.setdefault(record["experiment"], []).append(record)
    parts = [INTRODUCTION]
    for name, records in groups.items():
        if records:
            parts.append(sections.get(name, _listing)(records, results_dir))
    if len(parts) == 1:
        parts.append("No records yet.")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _listing(records, results_dir):
    lines = [f"- [{record['folder']}]({quote(record['folder'])}/record.json)" for record in records]
    return f"## {records[0]['experiment']}\n\n" + "\n".join(lines)


def read_records(results_dir):
    """Reads every `record.json` under a folder, at any depth.

    A file that is not a JSON object with an `experiment` is a `UserError` that names it.

    Returns:
        List of dictionaries sorted by folder, each with the key `folder` added: its path relative to `results_dir`,
        with forward slashes.
    """
    results_dir = Path(results_dir)
    records = []
    for path in sorted(results_dir.rglob("record.json")):
        record = read_json(path)
        if not isinstance(record, dict) or not isinstance(record.get("experiment"), str):
            raise UserError(f"{path} is not a record: it names no experiment. Remove it and run its experiment again.")
        records.append(record | {"folder": path.parent.relative_to(results_dir).as_posix()})
    return records


def run_folders(records):
    """Groups records into `{run folder: records}`, by dataset, then the longest training first."""
    runs = {}
    for record in records:
        runs.setdefault(str(PurePosixPath(record["folder"]).parent.parent), []).append(record)

    def order(folder):
        return runs[folder][0]["dataset"], -max(map(examples_seen, runs[folder])), folder

    return {folder: runs[folder] for folder in sorted(runs, key=order)}


def examples_seen(record):
    """Training examples that the model of a record saw, images or others; 0 where it does not say."""
    return next((count for name, count in record.items() if name.endswith("_seen") and count), 0)


def read_history(path):
    """Reads a `history.csv`; one that can't be read, or holds other than numbers, is a `UserError` that names it.

    Returns:
        `{column: [float, ...]}`, one value a row, NaN for an empty cell.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        return {column: [float(row[column] or "nan") for row in rows] for column in reader.fieldnames or ()}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a history ({error}).") from error


def read_histories(variants, results_dir):
    """The histories of `{variant: [the record of a seed, ...]}`, as `{variant: [history, ...]}`; see `read_history`."""
    return {
        variant: [read_history(Path(results_dir) / record["folder"] / "history.csv") for record in seeds]
        for variant, seeds in variants.items()
    }


def field(record, dotted):
    """The value at a dotted path (`"test.iou"`) of a record, or None where there is none."""
    value = record
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def require(records, paths):
    """Raises a `UserError` that names the first record that lacks a value, and the dotted path at which it lacks it."""
    for record in records:
        for path in paths:
            if field(record, path) is None:
                raise UserError(f"{record['folder']}/record.json has no {path!r}. Remove it and run it again.")


def spread(values):
    """How far values of seeds lie apart: half the range of two, the sample standard deviation of more, None for
    fewer."""
    if len(values) < 2:
        return None
    return abs(values[0] - values[1]) / 2 if len(values) == 2 else statistics.stdev(values)


def mean_and_spread(values, digits=3):
    """Formats the mean over seeds with its spread: `0.812 ± 0.004`; a single value stands alone.

    Where there is no value, or a seed has None, the result is a dash.
    """
    values = list(values)
    if not values or None in values:
        return MISSING
    mean, around = statistics.fmean(values), spread(values)
    return f"{mean:,.{digits}f}" + ("" if around is None else f" ± {around:,.{digits}f}")


def over_seeds(seeds, path, digits=3, scale=1):
    """`mean_and_spread` of the numbers at a dotted path of the records of several seeds, times `scale`."""
    values = [field(record, path) for record in seeds]
    return mean_and_spread([None if value is None else scale * value for value in values], digits)


def spread_note(counts):
    """Says what `±` means in a table whose rows have these numbers of seeds; empty where no row has several."""
    kinds = {min(count, 3) for count in counts} - {0, 1}
    notes = {
        (2,): "± is half the range of the two seeds.",
        (3,): "± is the sample standard deviation over seeds.",
        (2, 3): "± is the sample standard deviation over seeds, or half the range where there are two.",
    }
    return notes.get(tuple(sorted(kinds)), "")


def table(header, rows, left=1):
    """Formats a Markdown table; a cell of None shows as a dash.

    Args:
        left: which columns are aligned left, their titles or how many leading ones; the others are aligned right, as
            numbers are.
    """
    left = list(header)[:left] if isinstance(left, int) else left
    rule = [":--" if title in left else "--:" for title in header]
    cells = [[MISSING if cell is None else str(cell).replace("|", r"\|") for cell in row] for row in (header, *rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:]))


def told_apart(records, describe):
    """Collects what records say of a fact on which they may differ.

    `describe` maps a record to a JSON value, or to None where the record does not say. The result is a list of pairs
    `(value, variants)`, one a distinct value; the names of variants are set as code.
    """
    found = {}
    for record in records:
        value = describe(record)
        if value is not None:
            found.setdefault(json.dumps(value, sort_keys=True), (value, {}))[1][f"`{record['variant']}`"] = None
    return [(value, list(variants)) for value, variants in found.values()]


def hardware(record):
    """One line on a record's `hardware`, or None; `beside` is what else ran there at the same time."""
    known = record.get("hardware")
    if not known:
        return None
    gpus, cores = known.get("gpus") or 0, known.get("cores")
    count = f"{gpus} x " if gpus > 1 else ""
    parts = [known.get("device"), f"{count}{known.get('name')}", cores and f"{cores} cores", known.get("precision")]
    parts += ["Keras on JAX"] * (known.get("backend") == "jax")
    beside = known.get("beside") and f"beside {known['beside']}"
    return ", ".join([*filter(None, parts), f"XLA {'on' if known.get('xla') else 'off'}", *filter(None, [beside])])


def software(record):
    """One line on a record's `versions`, or None."""
    names = {"tensorflow": "TensorFlow", "keras": "Keras", "python": "Python"}
    if field(record, "hardware.backend") == "jax":
        names = {"jax": "JAX"} | names
    versions = record.get("versions") or {}
    return ", ".join(f"{title} {versions[key]}" for key, title in names.items() if key in versions) or None


def command(record):
    """The command that made a record, with the backend where it was another than TensorFlow."""
    backend = field(record, "hardware.backend")
    return f"KERAS_BACKEND={backend} " * (backend not in (None, "tensorflow")) + record["command"]


def code_block(lines):
    """A fenced block of shell commands, repeated ones left out."""
    return "\n".join(["```bash", *dict.fromkeys(lines), "```"])


def picture(results_dir, path, alt, caption):
    """Markdown of a picture with a caption beneath, or an empty string where the file does not exist.

    Args:
        path: the picture, relative to `results_dir`, with forward slashes.
        alt: what the picture shows, for those who do not see it.
        caption: one line of Markdown without asterisks or underscores of its own.
    """
    if not (Path(results_dir) / path).is_file():
        return ""
    return f"![{alt}]({quote(path)})\n\n*{caption}*"
