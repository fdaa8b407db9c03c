"""What tests read from the Markdown tables of the summary."""


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def column(text, start, title):
    """The cell under a title in the row that starts so, in the first table with that title."""
    lines = text.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("|") and f" {title} |" in line)
    line = next(line for line in lines[head:] if line.startswith(f"| {start} |"))
    return cells(line)[cells(lines[head]).index(title)]


def titles(text, title):
    """The titles of the first table that has this one."""
    return cells(next(line for line in text.splitlines() if line.startswith("|") and f" {title} |" in line))
