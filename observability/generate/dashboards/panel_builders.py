"""Builders of panels and their PromQL, and the panels that several boards show."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from observability.lib.panels import BAD, GOOD, WARN, Kind, Panel, Query, Unit
from observability.lib.promql import burn_rate, firing, selector
from observability.spec import names
from observability.spec.plan import HTTP_SOURCE, LATENCY, SHORT_WINDOW, Plan
from observability.spec.quantities import Duration, format_decimal

RATE = "$__rate_interval"
QUANTILES = (Decimal("0.5"), Decimal("0.9"), Decimal("0.99"))
ANSWERED = {names.STATUS: "~2xx|3xx"}  # of promises, good answers alone are timed
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


def each(*labels: str) -> str:
    """A legend made of the values of labels."""
    return " ".join(f"{{{{{label}}}}}" for label in labels)


def sum_query(expr: str, *labels: str) -> Query:
    """Return the query of the sum by labels, with their values as its legend."""
    return Query(f"sum by ({', '.join(labels)}) ({expr})", each(*labels))


def quantile(share: Decimal, metric: str, *, over: str = RATE, by: str = "", **labels: str) -> str:
    """Seconds within which a share of events was done."""
    grouping = f"le, {by}" if by else "le"
    buckets = rate(metric + "_bucket", over, **labels)
    return f"histogram_quantile({format_decimal(share)}, sum by ({grouping}) ({buckets}))"


def quantiles(metric: str, **asked: str) -> Iterator[Query]:
    """Seconds within which 50, 90 and 99 of 100 events were done."""
    return (
        Query(quantile(share, metric, **asked), f"p{format_decimal(share * 100)}")
        for share in QUANTILES
    )


def promised(threshold: Duration, expr: str = "") -> Query:
    """The line of a threshold in seconds; `expr` draws it under a condition."""
    return Query(
        expr or f"vector({format_decimal(threshold.seconds)})",
        f"promised: {threshold.text}",
        is_threshold=True,
        colour=BAD,
    )


def rate(metric: str, over: str = RATE, **labels: str) -> str:
    return f"rate({selector(metric, **labels)}[{over}])"


def budget_steps() -> tuple[tuple[float, str], ...]:
    return (-1e9, BAD), (0.0, WARN), (0.25, GOOD)


def burn_rates(**look: Any) -> Panel:
    """The SLOs that burn fastest."""
    return lines(
        "Burn rates",
        "The five SLOs that burn fastest: 1 spends the budget exactly within the period.",
        Unit.TIMES,
        Query(f"topk(5, {burn_rate(SHORT_WINDOW)} > 0)", each(names.SLO)),
        expects_data=False,
        **look,
    )


def marks(plan: Plan, *severities: str, **labels: str) -> tuple[tuple[str, str], ...]:
    """Moments at which alerts fired, by severity: Pages, Tickets."""
    return tuple(
        (f"{s.capitalize()}s", firing(severity=s, **labels))
        for s in severities or [plan.paging_severity]
    )


def traffic(route: str) -> tuple[Panel, ...]:
    """Rate and errors of routes, as the overview and the board of a load run show them."""
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
            Query(failing(route, by=names.ROUTE), each(names.ROUTE)),
        ),
    )


def failing(route: str, *, over: str = RATE, by: str = "") -> str:
    """The share of requests that ended in 5xx; no sample where nothing was asked."""
    failed, total = (
        rate(names.HTTP_DURATION + "_count", over, route=f"~{route}", **only)
        for only in ({names.STATUS: "5xx"}, {})
    )
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} ({failed}) / (sum{grouping} ({total}) > 0)"


def thresholds(plan: Plan) -> Iterator[Query]:
    """A line per latency target, drawn when one of the chosen routes has that target."""
    for threshold in plan.slos_by_threshold(HTTP_SOURCE, LATENCY):
        wanted = selector(names.OBJECTIVE, **{names.SLO: f"~$route-{LATENCY}-{threshold.text}"})
        yield promised(threshold, f"{format_decimal(threshold.seconds)} + 0 * max({wanted})")


def cost(width: int) -> tuple[Panel, ...]:
    """What the workers need, as the runtime's board and the one of a load run show it."""
    process = each(names.INSTANCE)
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
