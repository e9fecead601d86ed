"""Checks of maintenance windows against each other and against the period."""

from collections.abc import Iterator
from itertools import combinations

from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.validation.references import Where


def check_maintenance(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield windows that leave nothing of a period, and windows at the same time."""
    period = catalogue.period
    for number, entry in enumerate(catalogue.maintenance):
        if entry.for_.seconds > period.seconds:
            message = f"is {entry.for_.text} long, but the period is {period.text}"
            yield Problem(where("maintenance", number, "for"), message, "write a shorter time")
    numbered = enumerate(catalogue.maintenance)
    for (_, first), (number, second) in combinations(numbered, 2):
        if first.overlaps(second):
            message = f"overlaps {first.text}"
            fix = "make one window of both, or move one of them"
            yield Problem(where("maintenance", number), message, fix)
