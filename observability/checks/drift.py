"""Check `drift`: the committed generated files are what the catalogue generates."""

from itertools import zip_longest
from pathlib import Path

from observability.generate.registry import Files, list_stale
from observability.spec.problems import Problem

FIX = "make generate"


def check(files: Files, out: Path) -> list[Problem]:
    """Return one problem per file that is missing, different, or no longer generated."""
    problems = []
    for path in list_stale(files, out):
        problems.append(drift(str(path), "nothing generates this file any more"))
    for path, text in sorted(files.items()):
        target = out / path
        if not target.exists():
            problems.append(drift(str(path), "is missing"))
            continue
        committed = target.read_bytes().decode("utf-8", "replace")
        if committed != text:
            line = first_difference(committed, text)
            problems.append(drift(f"{path}:{line}", "is not what the catalogue generates"))
    return problems


def drift(where: str, message: str) -> Problem:
    """Return a problem of this check; all have the same fix."""
    return Problem(where, message, FIX, "drift")


def first_difference(committed: str, generated: str) -> int:
    """Return the number of the first line, from 1, in which the texts differ."""
    lines = zip_longest(committed.split("\n"), generated.split("\n"))
    for number, (committed_line, generated_line) in enumerate(lines, 1):
        if committed_line != generated_line:
            return number
    return 1
