"""What tests read from the Markdown tables of the summary."""

from itertools import dropwhile, takewhile


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def lines_from(text, title):
    """The lines of a text from the head of the first table that has this title."""
    return list(dropwhile(lambda line: not (line.startswith("|") and f" {title} |" in line), text.splitlines()))


def table(text, title):
    """The rows of the first table that has this title: cells by title."""
    head, _, *rows = map(cells, takewhile(lambda line: line.startswith("|"), lines_from(text, title)))
    return [dict(zip(head, row, strict=True)) for row in rows]


def column(text, start, title):
    """The cell under a title in the row that starts so, in the first table with that title."""
    head, *lines = lines_from(text, title)
    line = next(line for line in lines if line.startswith(f"| {start} |"))
    return cells(line)[cells(head).index(title)]


def titles(text, title):
    """The titles of the first table that has this one."""
    return cells(lines_from(text, title)[0])
