"""The README and the summary say what the records say, and point at files that exist."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from experiments.harness.reporting.report import read_records
from experiments.maintenance.readme import fill_tables
from experiments.maintenance.summary import sections

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "results" / "summary.md"]


def test_the_tables_of_the_readme_are_those_of_the_records():
    text = (ROOT / "README.md").read_text()
    assert fill_tables(text, ROOT / "results") == text


def test_the_summary_is_that_of_the_records():
    summary = (ROOT / "results" / "summary.md").read_text()
    for record in read_records(ROOT / "results"):
        section = sections()[record["experiment"]].write
        records = [r for r in read_records(ROOT / "results") if r["experiment"] == record["experiment"]]
        assert section(records, ROOT / "results") in summary


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)\)", page.read_text())
    files = [link for link in links if not link.startswith("http")]
    assert files
    missing = [link for link in files if not (page.parent / unquote(link)).exists()]
    assert not missing
