"""Panels, colour steps and annotations that several boards show."""

from typing import Any

from observability.lib.panel_builders import lines
from observability.lib.panel_queries import failing_ratio, legend, sum_query
from observability.lib.panels import BAD, GOOD, WARN, Panel, Query, Unit
from observability.lib.promql import burn_rate, firing, rate
from observability.spec import names
from observability.spec.plan import SHORT_WINDOW, Plan

BUDGET_STEPS = ((-1e9, BAD), (0.0, WARN), (0.25, GOOD))


def burn_rates(**options: Any) -> Panel:
    """Return the panel of the SLOs that burn fastest."""
    return lines(
        "Burn rates",
        "The five SLOs that burn fastest: 1 spends the budget exactly within the period.",
        Unit.TIMES,
        Query(f"topk(5, {burn_rate(SHORT_WINDOW)} > 0)", legend(names.SLO)),
        expects_data=False,
        **options,
    )


def traffic(route: str) -> tuple[Panel, ...]:
    """Return rate and errors by route; `route` is a regular expression."""
    return (
        lines(
            "Requests by route",
            "Requests answered, whatever the answer.",
            Unit.REQUESTS,
            sum_query(rate(names.HTTP_REQUESTS + "_total", route=f"~{route}"), names.ROUTE),
        ),
        lines(
            "Failing requests by route",
            "Share of requests that ended in 5xx.",
            Unit.RATIO,
            Query(failing_ratio(route, by=names.ROUTE), legend(names.ROUTE)),
        ),
    )


def worker_resources(width: int) -> tuple[Panel, ...]:
    """Return CPU and memory of the workers."""
    process = legend(names.INSTANCE)
    return (
        lines(
            "CPU",
            "Processor seconds per second of all workers: 1 is one core.",
            Unit.NUMBER,
            Query(rate(names.WORKER_CPU + "_total"), process),
            width=width,
        ),
        lines(
            "Memory",
            "Resident memory of all workers.",
            Unit.BYTES,
            Query(names.WORKER_MEMORY, process),
            width=width,
        ),
    )


def alert_annotations(plan: Plan, *severities: str, **labels: str) -> tuple[tuple[str, str], ...]:
    """Return annotations for the moments when alerts fired: Pages, Tickets."""
    return tuple(
        (f"{severity.capitalize()}s", firing(severity=severity, **labels))
        for severity in severities or [plan.paging_severity]
    )
