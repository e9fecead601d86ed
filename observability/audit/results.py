"""What a check of the audit found, and the verdict on it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from observability.spec.problems import Problem

FINE, NOT_FINE, UNKNOWN = "fine", "not fine", "unknown"  # verdicts


class CouldNotTell(Exception):
    """A check that could not look; the message says why and how to fix it."""


@dataclass(frozen=True)
class Finding(Problem):
    """A vulnerability or a secret; audit.yaml can accept it under any of its ids."""

    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What one check looked at, or why it could not, and what it found there."""

    check: str
    verdict: str
    text: str
    findings: tuple[Finding, ...] = ()


def judge(check: str, text: str, findings: list[Finding]) -> Result:
    """Return the result of a check that has looked at everything."""
    verdict = NOT_FINE if findings else FINE
    return Result(check, verdict, text, tuple(findings))


def run_tool(root: Path, tool: str, *words: str, found: int = 0) -> str:
    """Return the output of a program of requirements-audit.txt, or of git.

    `found` is its exit code when it found something. Raise CouldNotTell for any other than 0.
    """
    program = Path(sys.prefix, "audit", "bin", tool)
    command = [str(program) if program.exists() else tool, *words]
    try:
        result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise CouldNotTell(f"{tool} is not installed; fix: make .venv/audit") from error
    if result.returncode not in (0, found):
        raise CouldNotTell(
            f"{tool} failed: {result.stderr.strip()}; fix: make .venv/audit, in a clone"
        )
    return result.stdout
