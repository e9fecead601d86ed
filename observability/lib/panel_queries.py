"""PromQL that several boards use: rates, quantiles, shares and legends."""

from collections.abc import Iterator
from decimal import Decimal

from observability.lib.panels import BAD, Query
from observability.lib.promql import RATE_INTERVAL, quantile, rate
from observability.spec import names
from observability.spec.quantities import Duration, format_decimal

QUANTILES = (Decimal("0.5"), Decimal("0.9"), Decimal("0.99"))
P95 = Decimal("0.95")


def legend(*labels: str) -> str:
    """Return a legend that shows the values of labels."""
    return " ".join("{{" + label + "}}" for label in labels)


def sum_query(expr: str, *labels: str) -> Query:
    """Return the query of the sum by labels, with their values as its legend."""
    return Query(f"sum by ({', '.join(labels)}) ({expr})", legend(*labels))


def quantile_queries(metric: str, **options: str) -> Iterator[Query]:
    """Yield the queries of the quantiles 50, 90 and 99; `options` are those of `quantile`."""
    for share in QUANTILES:
        yield Query(quantile(share, metric, **options), f"p{format_decimal(share * 100)}")


def failing_ratio(route: str, *, over: str = RATE_INTERVAL, by: str = "") -> str:
    """Return the share of requests that ended in 5xx; no sample for a route without requests."""
    count = names.HTTP_DURATION + "_count"
    failed = rate(count, over, route=f"~{route}", **{names.STATUS: "5xx"})
    total = rate(count, over, route=f"~{route}")
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} ({failed}) / (sum{grouping} ({total}) > 0)"


def threshold_query(threshold: Duration, expr: str = "") -> Query:
    """Return the line of a threshold in seconds; `expr` draws it under a condition."""
    return Query(
        expr or f"vector({format_decimal(threshold.seconds)})",
        f"promised: {threshold.text}",
        is_threshold=True,
        colour=BAD,
    )
