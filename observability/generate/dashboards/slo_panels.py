"""Panels, thresholds and colour steps that depend on the kind of an SLI."""

from collections.abc import Iterator

from observability.generate.dashboards.panel_builders import lines
from observability.generate.dashboards.queries import (
    GOOD_RESPONSES,
    legend,
    quantile_queries,
    threshold_query,
)
from observability.lib.panels import BAD, GOOD, WARN, Panel, Query, Unit
from observability.lib.promql import selector
from observability.spec import names
from observability.spec.plan import (
    DEPENDENCY_SOURCE,
    FRESHNESS,
    HTTP_SOURCE,
    JOB_SOURCE,
    LATENCY,
    Plan,
)
from observability.spec.quantities import format_decimal


def latency_steps(plan: Plan) -> tuple[tuple[float, str], ...]:
    """Return the colours of a duration: worse above every latency threshold of the catalogue."""
    thresholds = {slo.threshold for slo in plan.slos if slo.sli == LATENCY and slo.threshold}
    edges = sorted({float(threshold.seconds) for threshold in thresholds})
    return (0.0, GOOD), *((edge, WARN if edge != edges[-1] else BAD) for edge in edges)


def route_durations(plan: Plan, description: str, routes: str, **labels: str) -> Panel:
    """Return quantiles of good responses with the thresholds of the routes' latency SLOs.

    `labels` select the series of the quantiles; `routes` is a regular expression.
    """
    quantiles = quantile_queries(names.HTTP_DURATION, **labels, **GOOD_RESPONSES)
    thresholds = route_thresholds(plan, routes)
    return lines("Duration", description, Unit.SECONDS, *quantiles, *thresholds)


def route_thresholds(plan: Plan, routes: str) -> Iterator[Query]:
    """Yield a line per latency threshold, drawn when a matching route has that threshold."""
    for threshold in plan.slos_by_threshold(HTTP_SOURCE, LATENCY):
        slo = f"~{routes}-{LATENCY}-{threshold.text}"
        objective = selector(names.OBJECTIVE, **{names.SLO: slo})
        seconds = format_decimal(threshold.seconds)
        yield threshold_query(threshold, f"{seconds} + 0 * max({objective})")


def dependency_thresholds(plan: Plan, dependency: str) -> Iterator[Query]:
    """Yield a line per threshold of the dependency's latency SLOs."""
    for threshold, slos in plan.slos_by_threshold(DEPENDENCY_SOURCE, LATENCY).items():
        if any(slo.subject == dependency for slo in slos):
            yield threshold_query(threshold)


def last_success_age(plan: Plan) -> Panel:
    """Return the age of each job's last success with the thresholds of the freshness SLOs."""
    age = f"time() - max by ({names.JOB}) ({names.JOB_LAST_SUCCESS})"
    thresholds = plan.slos_by_threshold(JOB_SOURCE, FRESHNESS)
    return lines(
        "Age of the last success",
        "How long ago each job last succeeded.",
        Unit.SECONDS,
        Query(age, legend(names.JOB)),
        *map(threshold_query, thresholds),
    )
