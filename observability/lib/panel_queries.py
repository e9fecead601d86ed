"""Queries of panels: from templates, quantiles, thresholds and the ratio of failed requests."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from observability.lib.panels import BAD, Query
from observability.lib.promql import quantile
from observability.lib.requests import duration
from observability.lib.templates import fill
from observability.spec.quantities import Duration, format_decimal
from observability.spec.signals import Signals

QUANTILES = (Decimal("0.5"), Decimal("0.9"), Decimal("0.99"))
P95 = Decimal("0.95")


def query(expr: str, legend: str = "", **options: Any) -> Query:
    """Return a query whose expression and legend are templates without arguments."""
    return Query(fill(expr), fill(legend), **options)


def legend(label: str) -> str:
    """Return the legend that shows the value of a label."""
    return "{{" + label + "}}"


def quantile_queries(metric: str, **options: str) -> Iterator[Query]:
    """Yield the queries of the quantiles 50, 90 and 99; `options` are those of `quantile`."""
    for share in QUANTILES:
        yield Query(quantile(share, metric, **options), f"p{format_decimal(share * 100)}")


def duration_queries(signals: Signals, by: str = "", **options: str) -> Iterator[Query]:
    """Yield the same quantiles of requests, if these are timed; `options` are of `duration`."""
    for share in QUANTILES if signals.latency else ():
        yield Query(duration(signals, share, by, **options), f"p{format_decimal(share * 100)}")


def threshold_query(threshold: Duration, expr: str = "") -> Query:
    """Return the line of a threshold in seconds; `expr` draws it under a condition."""
    return Query(
        expr or f"vector({format_decimal(threshold.seconds)})",
        f"objective: {threshold.text}",
        is_threshold=True,
        colour=BAD,
    )
