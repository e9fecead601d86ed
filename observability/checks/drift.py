"""Check `drift`: the committed generated files are what the catalogue generates."""

from pathlib import Path

from observability.generate.registry import Files, list_stale
from observability.spec.problems import Problem

FIX = "make generate"


def check(files: Files, out: Path) -> list[Problem]:
    """Return one problem per file that is missing, different, or no longer generated."""
    problems = []
    for path in list_stale(files, out):
        problems.append(drift(path, "nothing generates this file any more"))
    for path, text in sorted(files.items()):
        target = out / path
        if not target.exists():
            problems.append(drift(path, "is missing"))
        elif target.read_bytes() != text.encode():
            problems.append(drift(path, "is not what the catalogue generates"))
    return problems


def drift(path: Path, message: str) -> Problem:
    """Return a problem of this check; all have the same fix."""
    return Problem(str(path), message, FIX, "drift")
