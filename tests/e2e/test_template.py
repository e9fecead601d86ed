"""docs/template.md: its commands and edits, in order, in a copy of the checkout."""

import re
from pathlib import Path

import pytest

from observability.devstack.layout import ROOT
from tests.e2e.checkout import copy_checkout
from tests.e2e.shell import run_script

PAGE = (ROOT / "docs" / "template.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## (\d)\. [^\n]*\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
# The name of a file stands above its block; a block without one holds commands.
BLOCK = re.compile(
    r"(?:^`(\S+)`:\n\n)?^```(\w+)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
ENTRIES = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.MULTILINE)  # of a section of the catalogue


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with the tracked files as they are in the checkout."""
    return copy_checkout(tmp_path_factory.mktemp("template") / "copy")


def edited(text: str, diff: str) -> str:
    """Return the text with a diff applied, whose hunks have no line numbers and fit once."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, f"occurs {text.count(before)} times:\n{before}"
        text = text.replace(before, after)
    return text


def without(catalogue: str, section: str, names: list[str]) -> str:
    """Return the catalogue without some entries of a section; without names, without all of it."""
    headings = [rf"^({section}:.*?)^  {re.escape(name)}:" for name in names]
    for heading in headings or [f"^(){section}:"]:
        indent = 2 if names else 0
        entry = re.compile(rf"{heading}.*?(?=^ {{0,{indent}}}\S|^\n)", re.MULTILINE | re.DOTALL)
        catalogue, count = entry.subn(r"\1", catalogue, count=1)
        assert count == 1, f"not found: {heading}"
    return catalogue


def run_section(copy: Path, number: int) -> None:
    """Run the commands of a section of the page, without tests, which take minutes."""
    section = dict(SECTION.findall(PAGE))[str(number)]
    catalogue = copy / "observability" / "catalogue.yaml"
    for name, entries in ENTRIES.findall(section):
        names = re.findall(r"`([^`]+)`", entries)
        catalogue.write_text(without(catalogue.read_text("utf-8"), name, names), "utf-8")
    for name, language, text in BLOCK.findall(section):
        path = copy / name
        if language == "sh":
            run_script(copy, text.replace(" check test\n", " check\n"))
        elif language == "diff":
            path.write_text(edited(path.read_text("utf-8"), text), "utf-8")
        else:
            path.write_text(text, "utf-8")


def test_the_product_is_renamed(copy: Path) -> None:
    """Only licence and changelog still contain the old name."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [old_name] = re.findall(r'^name = "(\w+)"$', pyproject, re.MULTILINE)
    run_section(copy, 1)
    assert run_script(copy, f"git grep -il {old_name}").split() == ["CHANGELOG.md", "LICENSE"]
    assert old_name not in run_script(copy, "git ls-files")
    assert run_script(copy, "git status --porcelain") == ""


def test_the_nouns_are_removed(copy: Path) -> None:
    """No module of theirs is left; lint and check pass."""
    run_section(copy, 2)
    assert run_script(copy, "git ls-files 'api/v1/*.py' 'api/services/*.py'").split() == [
        "api/services/__init__.py",
        "api/v1/__init__.py",
    ]


def test_another_noun_is_added(copy: Path) -> None:
    """The platform gives it metrics, limits, SLOs and jobs; a selection of tests passes."""
    run_section(copy, 3)
    tests = (
        "tests/api/v1 tests/api/platform/other_app tests/test_docs.py tests/test_architecture.py"
    )
    run_script(copy, f".venv/bin/python -m pytest -q -x -p no:xdist {tests}")
