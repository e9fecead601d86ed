"""The workflows of .github: the linters that know GitHub's syntax, on what is shipped."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from observability.audit.results import run_tool
from observability.devstack.layout import ROOT

ACTIONLINT = Path(sys.executable).parent / "actionlint"  # made by `make e2e`
ZIZMOR = ("zizmor", "--offline", "--no-progress", "--no-exit-codes")
WORKFLOWS = ROOT / ".github"


def lint(*workflows: Path) -> "subprocess.CompletedProcess[str]":
    """Run actionlint, which runs shellcheck on each `run:`."""
    assert ACTIONLINT.exists(), "fix: make .venv/bin/actionlint"
    assert shutil.which("shellcheck"), "fix: sudo apt install shellcheck"
    command = [ACTIONLINT, *workflows]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def edited_workflow(folder: Path, before: str, after: str) -> Path:
    """Return a copy of the workflow with an edit."""
    text = (WORKFLOWS / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert before in text
    path = folder / ".github" / "workflows" / "ci.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace(before, after), encoding="utf-8")
    return path


def test_actionlint_accepts_the_workflows() -> None:
    """Their syntax, expressions, inputs of actions and shell scripts."""
    result = lint()
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("needs: [gate, audit]", "needs: [gates]", 'job "image" needs job "gates"'),
        ('"$GITHUB_OUTPUT"', "$GITHUB_OUTPUT", "SC2086"),
        ("matrix.target", "matrix.name", 'property "name" is not defined'),
    ],
)
def test_actionlint_refuses_a_mistake(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    """One of the jobs, one of a script, and one of an expression."""
    result = lint(edited_workflow(tmp_path, before, after))
    assert result.returncode == 1
    assert problem in result.stdout


def test_zizmor_finds_no_weakness() -> None:
    """Actions are pinned to commits, permissions are minimal, no credentials are kept."""
    assert "No findings to report" in run_tool(ROOT, *ZIZMOR, str(WORKFLOWS))


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7", "unpinned-uses"),
        ("permissions: {contents: read}\n", "permissions: write-all\n", "excessive-permissions"),
        (", persist-credentials: false", "", "artipacked"),
        ("$TARGET", "${{ github.head_ref }}", "template-injection"),
    ],
)
def test_zizmor_refuses_a_weakness(tmp_path: Path, before: str, after: str, problem: str) -> None:
    """A tag instead of a commit, all permissions, a kept credential, text of a stranger."""
    path = edited_workflow(tmp_path, before, after)
    report = run_tool(ROOT, *ZIZMOR, str(path))
    assert f"[{problem}]" in report
