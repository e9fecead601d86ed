"""PromQL about requests, whichever metrics count them: calls, rates, failures, quantiles.

`routes` is a value for `selector`: an id, or after `~` a regular expression.
"""

from decimal import Decimal

from observability.lib.promql import RATE_INTERVAL, matcher, one_of, selector
from observability.lib.templates import fill
from observability.spec import names
from observability.spec.quantities import format_decimal
from observability.spec.signals import Labels, Signal, Signals

JOINED = "<<calls>> * on (<<labels>>) group_left (<<SUBJECT>>) <<routes>>"
EVERY_ROUTE = "~.*"
SHARE = "sum<<by>> (<<failed>>) / (sum<<by>> (<<total>>) > 0)"
QUANTILE = "histogram_quantile(<<share>>, sum by (<<labels>>) (<<buckets>>))"


def calls(
    signal: Signal,
    routes: str = "",
    labels: Labels | None = None,
    *,
    part: str = "",
    over: str = "",
    function: str = "rate",
    excluded: tuple[str, ...] = (),
) -> str:
    """Return the counters of a signal with the route as a label, or a function of them `over` time.

    `part` is a suffix of a histogram; `excluded` are status codes, and `labels` select further.
    """
    of_route = {signal.route: routes} if signal.route and routes else {}
    matched = of_route | dict(signal.selector) | (labels or {})
    series = selector(signal.metric + part, **matched)
    if excluded:
        unwanted = matcher(signal.status, one_of(excluded)).replace("=~", "!~", 1)
        series = f"{series[:-1]}, {unwanted}}}" if "{" in series else f"{series}{{{unwanted}}}"
    if over:
        series = f"{function}({series}[{over}])"
    if signal.route:
        return series
    spelled = route_info(signal, routes)
    return fill(JOINED, calls=series, labels=", ".join(signal.address), routes=spelled)


def route_info(signal: Signal, routes: str = "") -> str:
    """Return the selector of the series that say which method and path a route has."""
    chosen = {names.SUBJECT: routes} if routes else {}
    return selector(names.ROUTE_INFO, **{names.ADDRESS: ",".join(signal.address)}, **chosen)


def request_rates(
    signals: Signals,
    by: str = "",
    *,
    routes: str = EVERY_ROUTE,
    over: str = RATE_INTERVAL,
) -> str:
    """Return requests per second, by route and other labels."""
    return f"sum{grouping(by)} ({calls(signals.by_status, routes, over=over)})"


def failing_ratio(
    signals: Signals, by: str = "", *, routes: str = EVERY_ROUTE, over: str = RATE_INTERVAL
) -> str:
    """Return the share of requests that failed; no sample for a route without requests."""
    failed = calls(signals.failed, routes, signals.failed.failed, over=over)
    total = calls(signals.total, routes, over=over)
    return fill(SHARE, by=grouping(by), failed=failed, total=total)


def duration(
    signals: Signals,
    share: Decimal,
    by: str = "",
    *,
    routes: str = EVERY_ROUTE,
    over: str = RATE_INTERVAL,
) -> str:
    """Return a quantile of the durations of successful requests, in seconds.

    Raise ValueError where nothing measures durations.
    """
    signal = latency_of(signals)
    buckets = calls(signal, routes, signal.succeeded, part="_bucket", over=over)
    labels = f"le, {by}" if by else "le"
    return fill(QUANTILE, share=format_decimal(share), labels=labels, buckets=buckets)


def latency_of(signals: Signals) -> Signal:
    """Return the signal of durations; raise ValueError where nothing measures them."""
    if signals.latency is None:
        raise ValueError("no metric of the catalogue's `signals` measures durations")
    return signals.latency


def grouping(by: str) -> str:
    """Return the clause after an aggregation; empty for one sum of all."""
    return f" by ({by})" if by else ""
