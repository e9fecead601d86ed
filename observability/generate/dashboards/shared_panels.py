"""Panels, colour steps and annotations that several boards show."""

from typing import Any

from observability.lib.panel_builders import lines
from observability.lib.panel_queries import legend, query
from observability.lib.panels import BAD, GOOD, WARN, Panel, Query, Unit
from observability.lib.promql import burn_rate, firing
from observability.lib.requests import failing_ratio, request_rates
from observability.spec import names
from observability.spec.plan import SHORT_WINDOW, Plan

BUDGET_STEPS = ((-1e9, BAD), (0.0, WARN), (0.25, GOOD))


def traffic(plan: Plan) -> tuple[Panel, ...]:
    """Return requests and failing ones by route."""
    route = plan.signals.label
    return (
        lines(
            "Requests by route",
            "Requests per second, whatever the response.",
            Unit.REQUESTS,
            Query(request_rates(plan.signals, route), legend(route)),
        ),
        lines(
            "Failing requests by route",
            "Ratio of requests that ended in 5xx.",
            Unit.RATIO,
            Query(failing_ratio(plan.signals, route), legend(route)),
        ),
    )


def burn_rates(**options: Any) -> Panel:
    """Return the panel of the SLOs that burn fastest."""
    return lines(
        "Burn rates",
        "The five SLOs with the highest burn rates; at 1 the budget lasts exactly for the period.",
        Unit.TIMES,
        Query(f"topk(5, {burn_rate(SHORT_WINDOW)} > 0)", legend(names.SLO)),
        expects_data=False,
        **options,
    )


def worker_resources(width: int) -> tuple[Panel, ...]:
    """Return CPU and memory of the workers."""
    return (
        lines(
            "CPU",
            "CPU seconds per second of all workers; 1 is one core.",
            Unit.NUMBER,
            query("rate(<<WORKER_CPU>>_total[$__rate_interval])", "{{<<INSTANCE>>}}"),
            width=width,
        ),
        lines(
            "Memory",
            "Resident memory of all workers.",
            Unit.BYTES,
            query("<<WORKER_MEMORY>>", "{{<<INSTANCE>>}}"),
            width=width,
        ),
    )


def alert_annotations(plan: Plan, *severities: str, **labels: str) -> tuple[tuple[str, str], ...]:
    """Return annotations for the moments when alerts fired: Pages, Tickets."""
    return tuple(
        (f"{severity.capitalize()}s", firing(severity=severity, **labels))
        for severity in severities or [plan.paging_severity]
    )
