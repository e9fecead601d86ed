"""docs/template.md is true: its commands and edits, in order, in a copy of the checkout.

After the first section nothing has the old name, and lint and check pass.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from observability.devstack.layout import ROOT

PAGE = (ROOT / "docs" / "template.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## (\d)\. [^\n]*\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHARED = (".venv", ".stack/servers")  # links to those of the checkout


def run(copy: Path, script: str) -> str:
    """Return what the script prints in the copy; fail with its output if it exits nonzero."""
    result = subprocess.run(
        ["bash", "-ec", script],
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{script}\n{result.stdout}"
    return result.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with the tracked files as they are in the checkout."""
    folder = tmp_path_factory.mktemp("template") / "copy"
    for name in run(ROOT, "git ls-files").splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for name in SHARED:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(ROOT / name)
    run(folder, "git init -q && git config user.name x && git config user.email x@localhost")
    run(folder, "git add --all && git commit -qm x")
    return folder


def follow(copy: Path, number: int) -> None:
    """Do what a section of the page says, but run no tests, which take minutes."""
    sections = dict(SECTION.findall(PAGE))
    for script in BLOCK.findall(sections[str(number)]):
        run(copy, script.replace(" check test\n", " check\n"))


def test_the_product_is_renamed(copy: Path) -> None:
    """Only licence and changelog still contain the old name; lint and check pass."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [old_name] = re.findall(r'^name = "(\w+)"$', pyproject, re.MULTILINE)
    follow(copy, 1)
    assert run(copy, f"git grep -il {old_name}").split() == ["CHANGELOG.md", "LICENSE"]
    assert old_name not in run(copy, "git ls-files")
    assert run(copy, "git status --porcelain") == ""
