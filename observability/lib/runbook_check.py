"""Checks of the running system, as runbook pages and the console show them."""

from dataclasses import dataclass

from observability.lib.panels import METRICS, Unit


@dataclass(frozen=True)
class RunbookCheck:
    """A question for the person on call, and the query that answers it."""

    text: str
    query: str
    unit: Unit = Unit.NUMBER
    source: str = METRICS  # or LOGS
