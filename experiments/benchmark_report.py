"""What the summary says of speed."""

from experiments.harness import report

INTRODUCTION = """## Speed

Training steps of the tutorial article's network on random images. The settings took turns within one run, and each row
is its median turn. Only the ratios carry over to other machines."""


def benchmark_section(records, results_dir):
    """The speed section of the summary: one table a machine.

    Args:
        records: records of the experiment.
        results_dir: folder of the summary.

    Returns:
        Markdown.
    """
    return "\n\n".join([INTRODUCTION, *(_machine(record) for record in records)])


def _machine(record):
    rows, base = [], next(iter(record["rows"].values()))["images_per_second"]
    for name, row in record["rows"].items():
        speed = row["images_per_second"]
        rows.append([name, row["precision"], "on" if row["xla"] else "off", f"{speed:.2f}", f"{speed / base:.2f}"])
    header = ["setting", "precision", "XLA", "images/s", "ratio"]
    what = (
        f"{record['image_size']} x {record['image_size']} pixels, {record['filters']} filters at the first level, "
        f"batches of {record['batch_size']}. {report.software(record)}."
    )
    machine = record["hardware"]
    parts = [
        f"### {machine['device']}, {machine['name']}, {machine['cores']} cores",
        report.table(header, rows, left=3),
        what,
    ]
    return "\n\n".join([*parts, report.code_block([record["command"]])])
