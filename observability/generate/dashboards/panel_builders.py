"""Builders of panels and their PromQL, and the panels that several boards show."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from observability.lib.panels import BAD, GOOD, WARN, Kind, Panel, Query, Unit
from observability.lib.promql import burn_rate, firing, selector
from observability.spec import names
from observability.spec.plan import HTTP_SOURCE, LATENCY, SHORT_WINDOW, Plan
from observability.spec.quantities import Duration, format_decimal

RATE_INTERVAL = "$__rate_interval"
QUANTILES = (Decimal("0.5"), Decimal("0.9"), Decimal("0.99"))
GOOD_RESPONSES = {names.STATUS: "~2xx|3xx"}  # of promises, good answers alone are timed
LEAST = {Unit.RATIO: 0.01}  # no axis ends below, so that none of a thousand does not look like all
FINE_RATIO = 3  # decimals of per cent: 99.95 and 99.99 are not 100


def lines(title: str, description: str, unit: Unit, *queries: Query, **look: Any) -> Panel:
    return Panel(
        title, description, Kind.LINES, unit, queries, **{"axis_soft_max": LEAST.get(unit), **look}
    )


def stat(
    title: str, description: str, unit: Unit, expr: str, *steps: tuple[float, str], **look: Any
) -> Panel:
    return Panel(
        title,
        description,
        Kind.STAT,
        unit,
        (Query(expr, title),),
        width=4,
        height=4,
        steps=steps,
        **look,
    )


def table(title: str, description: str, unit: Unit, *queries: Query, **look: Any) -> Panel:
    return Panel(title, description, Kind.TABLE, unit, queries, **look)


def legend(*labels: str) -> str:
    """Return a legend that shows the values of labels."""
    return " ".join(f"{{{{{label}}}}}" for label in labels)


def sum_query(expr: str, *labels: str) -> Query:
    """Return the query of the sum by labels, with their values as its legend."""
    return Query(f"sum by ({', '.join(labels)}) ({expr})", legend(*labels))


def quantile_of(
    share: Decimal, metric: str, *, over: str = RATE_INTERVAL, by: str = "", **labels: str
) -> str:
    """Return a quantile of a histogram of durations, in seconds."""
    grouping = f"le, {by}" if by else "le"
    buckets = rate(metric + "_bucket", over, **labels)
    return f"histogram_quantile({format_decimal(share)}, sum by ({grouping}) ({buckets}))"


def quantile_queries(metric: str, **asked: str) -> Iterator[Query]:
    """Return the quantiles 50, 90 and 99 of a histogram of durations."""
    return (
        Query(quantile_of(share, metric, **asked), f"p{format_decimal(share * 100)}")
        for share in QUANTILES
    )


def threshold_line(threshold: Duration, expr: str = "") -> Query:
    """Return the line of a threshold in seconds; `expr` draws it under a condition."""
    return Query(
        expr or f"vector({format_decimal(threshold.seconds)})",
        f"promised: {threshold.text}",
        is_threshold=True,
        colour=BAD,
    )


def rate(metric: str, over: str = RATE_INTERVAL, **labels: str) -> str:
    return f"rate({selector(metric, **labels)}[{over}])"


def budget_steps() -> tuple[tuple[float, str], ...]:
    return (-1e9, BAD), (0.0, WARN), (0.25, GOOD)


def burn_rates(**look: Any) -> Panel:
    """Return the panel of the SLOs that burn fastest."""
    return lines(
        "Burn rates",
        "The five SLOs that burn fastest: 1 spends the budget exactly within the period.",
        Unit.TIMES,
        Query(f"topk(5, {burn_rate(SHORT_WINDOW)} > 0)", legend(names.SLO)),
        expects_data=False,
        **look,
    )


def alert_annotations(plan: Plan, *severities: str, **labels: str) -> tuple[tuple[str, str], ...]:
    """Return annotations for the moments when alerts fired: Pages, Tickets."""
    return tuple(
        (f"{s.capitalize()}s", firing(severity=s, **labels))
        for s in severities or [plan.paging_severity]
    )


def traffic(route: str) -> tuple[Panel, ...]:
    """Return rate and errors by route, for the overview and the load board."""
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


def failing_ratio(route: str, *, over: str = RATE_INTERVAL, by: str = "") -> str:
    """Return the share of requests that ended in 5xx; no sample where nothing was asked."""
    failed, total = (
        rate(names.HTTP_DURATION + "_count", over, route=f"~{route}", **only)
        for only in ({names.STATUS: "5xx"}, {})
    )
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} ({failed}) / (sum{grouping} ({total}) > 0)"


def latency_lines(plan: Plan) -> Iterator[Query]:
    """Yield a line per latency threshold, drawn when a chosen route has that threshold."""
    for threshold in plan.slos_by_threshold(HTTP_SOURCE, LATENCY):
        wanted = selector(names.OBJECTIVE, **{names.SLO: f"~$route-{LATENCY}-{threshold.text}"})
        yield threshold_line(threshold, f"{format_decimal(threshold.seconds)} + 0 * max({wanted})")


def worker_resources(width: int) -> tuple[Panel, ...]:
    """Return CPU and memory of the workers, for the runtime and the load board."""
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
