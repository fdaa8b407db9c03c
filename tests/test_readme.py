"""README and docs say what the records say, point at files that exist, and name commands that can be given."""

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from experiments.harness.reporting.report import summary
from experiments.harness.running.errors import UserError
from experiments.harness.running.parser import Parser
from experiments.maintenance.readme import fill
from experiments.maintenance.summary import sections

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "results" / "summary.md"]


def names(pages):
    return {"argvalues": pages, "ids": [page.name for page in pages]}


@pytest.mark.parametrize("page", **names(PAGES))
def test_the_figures_of_a_page_are_those_of_the_records(page):
    text = page.read_text()
    assert fill(text, ROOT / "results") == text


def test_a_figure_that_no_record_holds_is_named():
    for text, problem in (
        ("<!-- value tfseg/weights/pets.json test.oui .3f -->0.9<!-- end -->", "test.oui of"),
        ("<!-- value tfseg/weights/none.json test.iou .3f -->0.9<!-- end -->", "none.json"),
        ("<!-- table unet/none/cpu -->\n<!-- end of table -->", "the table of unet/none/cpu"),
    ):
        with pytest.raises(UserError, match=problem):
            fill(text, ROOT / "results")


def test_the_summary_is_that_of_the_records():
    writers = {name: section.write for name, section in sections().items()}
    assert summary(ROOT / "results", writers) == (ROOT / "results" / "summary.md").read_text()


# Links


def anchor(heading):
    """The name by which GitHub's pages link to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", **names(LINKED))
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    missing = []
    for link in (link for link in links if not link.startswith("http")):
        file, _, section = link.partition("#")
        target = page.parent / unquote(file) if file else page
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if target.suffix == ".md" else []
        if not target.exists() or (section and section not in map(anchor, headings)):
            missing.append(link)
    assert not missing


def test_every_page_of_docs_is_linked_from_the_readme():
    text = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES[1:] if f"docs/{page.name}" not in text] == []


# Commands


def commands(page):
    """The shell commands of a page: lines of its bash blocks, and code in its text that starts like a command."""
    text = page.read_text()
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines += re.findall(r"`((?:python|make|pip) [^`]+)`", prose)
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def words(command):
    """A command without comments and without the environment variables that it sets."""
    found = shlex.split(command, comments=True)
    while found and re.fullmatch(r"[A-Z_]+=.*", found[0]):
        found = found[1:]
    return found


def check_python(arguments):
    if arguments[0] == "-m":
        assert arguments[1] == "pytest"
    elif arguments[0] == "-c":
        compile(arguments[1], "command", "exec")
    else:
        script = Path(arguments[0])
        assert (ROOT / script).is_file()
        importlib.import_module(".".join(script.with_suffix("").parts)).parse_arguments(arguments[1:])


def check_pip(arguments):
    assert arguments[0] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for names in re.findall(r"\.\[(.+?)\]", " ".join(arguments[1:])):
        assert set(names.split(",")) <= set(extras)


def check_make(arguments):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(arguments) <= set(targets)


def check_bash(arguments):
    """The script has no error of syntax, and every command of its own parses."""
    script = ROOT / arguments[0]
    subprocess.run(["bash", "-n", script], check=True)
    for command in re.findall(r'"\$python" (experiments/\S+\.py[^\n&|)]*)', script.read_text()):
        check_python(shlex.split(re.sub(r"\$\w+(/\w+)*", "x", command.replace('"', ""))))


CHECKS = {"python": check_python, "pip": check_pip, "make": check_make, "bash": check_bash}
OTHERS = {"export", "git", "cd"}


@pytest.mark.parametrize("page", **names(PAGES))
def test_every_command_can_be_given(page, capfd):
    for command in commands(page):
        program, *arguments = words(command)
        assert program in CHECKS or program in OTHERS, command
        try:
            CHECKS.get(program, lambda arguments: None)(arguments)
        except SystemExit:
            pytest.fail(f"{command}: {capfd.readouterr().err}")


SCRIPTS = [path for path in (ROOT / "experiments").rglob("*.py") if "def parse_arguments(" in path.read_text()]
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SCRIPTS]


def test_scripts_know_their_options_before_they_import_anything_slow():
    code = f"""
import contextlib, importlib, io, sys
for name in {MODULES}:
    module, text = importlib.import_module(name), io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(text):
        module.parse_arguments(["--help"])
    assert "--help" in text.getvalue(), name
print({{"tensorflow", "tensorflow_datasets", "keras", "jax", "matplotlib"}} & set(sys.modules) or "none")
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "none\n"


@pytest.fixture(scope="module")
def options():
    """The options of all scripts."""
    found = set()

    def stop(parser, *_):
        found.update(option for action in parser._actions for option in action.option_strings)
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", stop)
        for name in MODULES:
            with pytest.raises(SystemExit):
                importlib.import_module(name).parse_arguments([])
    return found


@pytest.mark.parametrize("page", **names(PAGES))
def test_every_option_that_a_page_names_is_one(page, options):
    named = re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text())
    assert sorted(set(named) - options) == []
