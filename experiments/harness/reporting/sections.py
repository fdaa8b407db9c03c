"""What the sections of experiments that train models have in common: parts by dataset and run, tables of a row a model,
and what records say of data, training and machine."""

from pathlib import Path
from urllib.parse import quote

from experiments.harness.reporting import report
from experiments.harness.reporting.report import MISSING, field, over_seeds, run_folders


def section(records, results_dir, introduction, required, write_run, datasets=(), write_dataset=None):
    """A section with one part a dataset, in it one a run.

    Args:
        records, results_dir: as of `report.Section.write`.
        introduction: Markdown that opens with the section's heading.
        required: dotted paths that every record must have.
        write_run: maps `(records, folder, results_dir)` of a run to pieces of Markdown.
        datasets: those that come first.
        write_dataset: maps `(dataset, {folder: records}, results_dir)` to pieces that follow the dataset's runs.

    Returns:
        Markdown.

    Raises:
        UserError: for a record that lacks what is required; the message names it.
    """
    report.require(records, required)
    parts, found = [introduction], {}
    for folder, run in run_folders(records).items():
        found.setdefault(run[0]["dataset"], {})[folder] = run
    for dataset in sorted(found, key=lambda name: rank(name, datasets)):
        parts.append(f"### {dataset}")
        for folder, run in found[dataset].items():
            parts += [f"#### Run `{run[0]['run']}`", *write_run(run, folder, results_dir)]
        parts += write_dataset(dataset, found[dataset], results_dir) if write_dataset else []
    return "\n\n".join(part.strip() for part in parts if part)


def run_title(dataset, label, run):
    """Dataset, model and run in the title of a picture."""
    return ", ".join(filter(None, [dataset, label, f"run {run}"]))


def rank(name, first):
    """Sort key of a name: those of `first` in their order, then the others by name."""
    return first.index(name) if name in first else len(first), name


def by_variant(records, key):
    """Groups records into `{variant: [the record of a seed, ...]}`, sorted by what `key` says of a record."""
    groups = {}
    for record in sorted(records, key=lambda r: (key(r), r["seed"])):
        groups.setdefault(record["variant"], []).append(record)
    return groups


# Tables


def rows(variants, columns, first="model"):
    """Rows of a table, one a model, as `table` takes them; `first` is the title of the first column.

    Args:
        variants: `{variant: [the record of a seed, ...]}`.
        columns: by title, a dotted path whose numbers are averaged over seeds; a tuple of it with decimals and a scale,
            as `report.over_seeds` takes them; or a function from the seeds' records to a cell.
    """

    def cell(seeds, column):
        if callable(column):
            return column(seeds)
        return over_seeds(seeds, *([column] if isinstance(column, str) else column))

    return [
        {first: f"`{name}`"} | {title: cell(seeds, column) for title, column in columns.items()}
        for name, seeds in variants.items()
    ]


def table(rows, words=()):
    """A Markdown table without the columns in which no row has anything.

    Args:
        rows: dictionaries from titles to cells.
        words: titles of further columns than the first that hold words, not numbers.
    """
    titles = dict.fromkeys(title for row in rows for title in row)
    titles = [title for title in titles if any(row.get(title) not in (None, MISSING) for row in rows)]
    cells = [[row.get(title) for title in titles] for row in rows]
    return report.table(titles, cells, left={*titles[:1], *words})


def of_first(path):
    """A column of a value that all seeds share: a word, or a number."""

    def cell(seeds):
        value = field(seeds[0], path)
        if isinstance(value, bool | None) or not isinstance(value, int | float):
            return value
        return f"{value:g}" if isinstance(value, float) else f"{value:,}"

    return cell


def short(table, records, what, commands):
    """What the README shows of a run: its table, a sentence on what it was computed on, the commands that made it."""
    counts = [sum(other["variant"] == name for other in records) for name in {r["variant"] for r in records}]
    note = " ".join(filter(None, [what, report.spread_note(counts)]))
    made_by = ", ".join(f"`{command}`" for command in dict.fromkeys(commands))
    return f"{table}\n\n{note}\n\nMade by {made_by}."


# Facts


def machines(records):
    """What records were made on, in one line; where they differ, by variant."""
    told = report.told_apart(records, report.hardware)
    return "; ".join(f"{', '.join(variants)}: {text}" if len(told) > 1 else text for text, variants in told)


def facts(records, describe):
    """What records were computed on and how, as a list; a fact on which they differ names the variants.

    `describe` is `{title: function}`; a function of a record returns text, None where the record does not say. Hardware
    and software are added.
    """
    seeds = sorted({record["seed"] for record in records})
    lines = [f"- Seed{'s' * (len(seeds) > 1)}: {', '.join(map(str, seeds))}."]
    for title, function in {**describe, "Hardware": report.hardware, "Software": report.software}.items():
        told = report.told_apart(records, function)
        if len(told) == 1:
            lines.append(f"- {title}: {told[0][0]}.")
        elif told:
            lines += [f"- {title}:", *[f"  - {', '.join(variants)}: {value}." for value, variants in told]]
    if len(report.told_apart(records, lambda record: field(record, "data.fingerprint"))) > 1:
        lines.append("- **The rows were computed on different images**: their records' data fingerprints differ.")
    return "\n".join(lines)


def images(record):
    """How many images a record's model was trained and tested on."""
    data = record["data"]
    train = data["train"] + data["validation"]
    return (
        f"{train:,} train / {data['test']:,} test images of `{record['dataset']}`; {data['validation']:,} of the "
        f"{train:,} are held out to choose the epoch"
    )


def training(record, texts):
    """What a record says of the training: texts by field of its recipe, where it has one, and the images seen."""
    config, seen = record.get("config") or {}, record.get("images_seen")
    parts = [text.format(config[key]) for key, text in texts.items() if text and config.get(key)]
    return ", ".join(parts + ([f"{seen:,} images seen"] if seen else [])) or None


def commands(found):
    """A list of commands."""
    return "Commands:\n\n" + report.code_block(found)


def links(results_dir, before, found, between="; "):
    """A sentence of links to those of the files that exist; empty where there is none.

    Args:
        before: the words before them.
        found: pairs of text and path, relative to `results_dir`.
    """
    there = [f"[{text}]({quote(path)})" for text, path in found if (Path(results_dir) / path).is_file()]
    return f"{before} {between.join(there)}." if there else ""
