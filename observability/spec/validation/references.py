"""Checks that several sections share: names that are declared nowhere, and repeated ones."""

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from observability.spec import names
from observability.spec.problems import Problem
from observability.spec.schema.policy import Policy


class Where(Protocol):
    """A function that returns the place of a key as text: `file:line: key.path`."""

    def __call__(self, *path: str | int) -> str: ...


# path of the key, names used there, names that are declared, and what they are
Reference = tuple[tuple[str, ...], Iterable[str | None], Collection[str], str]


def check_references(references: Iterable[Reference], where: Where) -> Iterator[Problem]:
    """Yield a problem for each name that is declared nowhere; None is no reference."""
    for path, used, declared, kind in references:
        for name in used:
            if name is not None and name not in declared:
                message = f"{kind} {name!r} is not declared"
                yield Problem(where(*path), message, f"use one of: {', '.join(sorted(declared))}")


def check_heard(
    severity_by_path: Iterable[tuple[tuple[str, ...], str]], policy: Policy, where: Where
) -> Iterator[Problem]:
    """Yield alerts with the severity of the watchdog, which the console hides from people."""
    watchdog = policy.guards.get(names.WATCHDOG_ALERT)
    for path, severity in severity_by_path:
        if watchdog is None or severity != watchdog.severity:
            continue
        message = f"is {severity}, the severity of {names.WATCHDOG_ALERT}, which people do not see"
        fix = f"write another severity; {names.WATCHDOG_ALERT} must be the only alert with its own"
        yield Problem(where(*path, "severity"), message, fix)


def repeated(where: str, values: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem for each repeated element of a list: it would make two SLOs of one name."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            yield Problem(where, f"{value} stands there twice", "remove one of the two")
        seen.add(value)
