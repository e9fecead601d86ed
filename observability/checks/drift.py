"""Check `drift`: the committed generated files are what the catalogue generates."""

from itertools import zip_longest
from pathlib import Path

from observability.generate.registry import stale
from observability.spec.problems import Problem

MEND = "make generate"


def check(wanted: dict[Path, str], out: Path) -> list[Problem]:
    """Return one problem per file that is missing, different, or no longer generated."""
    problems = [
        Problem(str(path), "nothing generates this file any more", MEND, "drift")
        for path in stale(wanted, out)
    ]
    for path, text in sorted(wanted.items()):
        target = out / path
        if not target.exists():
            problems.append(Problem(str(path), "is missing", MEND, "drift"))
        elif (found := target.read_bytes().decode("utf-8", "replace")) != text:
            problems.append(
                Problem(
                    f"{path}:{first_difference(found, text)}",
                    "is not what the catalogue generates",
                    MEND,
                    "drift",
                )
            )
    return problems


def first_difference(found: str, wanted: str) -> int:
    """Return the number of the first line, from 1, in which the texts differ."""
    lines = zip_longest(found.split("\n"), wanted.split("\n"))
    return next((number for number, (a, b) in enumerate(lines, 1) if a != b), 1)
