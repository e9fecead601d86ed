"""Checks that several sections share: names that are declared nowhere, and repeated ones."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from observability.spec.problems import Problem


class Where(Protocol):
    """A function that returns the place of a key as text: `file:line: key.path`."""

    def __call__(self, *path: str | int) -> str: ...


def undeclared(
    where: str, references: Iterable[str | None], declared: Iterable[str], kind: str
) -> Iterator[Problem]:
    """Yield a problem for each name that is declared nowhere; None is no reference."""
    for name in references:
        if name is not None and name not in declared:
            known = ", ".join(sorted(declared))
            yield Problem(where, f"{kind} {name!r} is not declared", f"use one of: {known}")


def repeated(where: str, values: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem for each repeated element of a list: it would make two SLOs of one name."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            yield Problem(where, f"{value} stands there twice", "remove one of the two")
        seen.add(value)
