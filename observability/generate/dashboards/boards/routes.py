"""The routes board: rate, errors and duration (RED) of every route."""

from dataclasses import replace

from observability.generate.dashboards.shared_panels import alert_annotations
from observability.lib.panel_builders import lines, table
from observability.lib.panel_queries import duration_queries, legend, query
from observability.lib.panels import Board, Kind, Panel, Query, Row, Unit, Variable
from observability.lib.promql import RATE_INTERVAL
from observability.lib.requests import (
    calls,
    failing_ratio,
    latency_of,
    request_rates,
    route_info,
)
from observability.sli.latency import durations_panel
from observability.spec import board_slugs, names
from observability.spec.plan import SHORT_WINDOW, Plan
from observability.spec.signals import Signals

CHOSEN = "~$route"
DURATIONS = "Duration of successful requests; dashed lines are the objectives' thresholds."
EXCEPTIONS = 'sum by (<<ROUTE>>, <<TYPE>>) (<<HTTP_EXCEPTIONS>>_total{<<ROUTE>>=~"$route"}) > 0'
UNHANDLED_EXCEPTIONS = lines(
    "Unhandled exceptions",
    "Exceptions since the start, by class; the log has their tracebacks.",
    Unit.NUMBER,
    query(EXCEPTIONS, "{{<<ROUTE>>}} {{<<TYPE>>}}"),
    width=8,
    expects_data=False,
    no_data_text="none",
)


def board(plan: Plan) -> Board:
    """Return the board with all routes in tables, and the chosen ones over time."""
    signals = plan.signals
    chosen = [rate_by_status(signals), errors(signals)]
    if signals.of_platform:
        chosen.append(UNHANDLED_EXCEPTIONS)
    if signals.latency:
        description = (
            "Duration of successful requests; dashed lines are the objectives' thresholds."
        )
        chosen += [durations_panel(plan, description, "$route"), durations_heatmap(signals)]
    series = calls(signals.total) if signals.total.route else route_info(signals.total)
    return Board(
        board_slugs.ROUTES,
        "Routes",
        "Rate, errors and duration (RED) of every route",
        (
            Row("All routes", (route_table(signals), top_errors(signals))),
            Row("Selected: $route", tuple(chosen)),
        ),
        (Variable("route", "Route", series, of=signals.label, multi=True),),
        alert_annotations(plan, **{names.SUBJECT: CHOSEN}),
    )


# --- all routes ---


def route_table(signals: Signals) -> Panel:
    """Return rate, errors and duration of every route."""
    route = signals.label
    quantiles = duration_queries(signals, route, over=SHORT_WINDOW)
    return table(
        "Routes",
        "Rate, errors and duration of every route in the last minutes.",
        Unit.NUMBER,
        Query(request_rates(signals, route, over=SHORT_WINDOW), "requests/s", Unit.REQUESTS),
        Query(failing_ratio(signals, route, over=SHORT_WINDOW), "failing", Unit.RATIO),
        *(replace(quantile, unit=Unit.SECONDS) for quantile in quantiles),
        width=16,
        height=11,
        key=route,
        link=board_slugs.ROUTES,
        sort_by=("-requests/s",),
    )


def top_errors(signals: Signals) -> Panel:
    """Return the most frequent statuses of failures and refusals."""
    signal = signals.by_status
    key = f"{signals.label}, {signal.status}" if signal.status else signals.label
    refused = {signal.status: "~[45].."} if signal.status else {}
    counted = calls(signal, CHOSEN, refused, over="1h", function="increase")
    return table(
        "Top errors",
        "The most frequent responses of 4xx and 5xx in the last hour.",
        Unit.NUMBER,
        Query(f"topk(10, sum by ({key}) ({counted}) >= 1)", "responses", decimals=0),
        width=8,
        height=11,
        key=key.replace(" ", ""),
        expects_data=False,
        no_data_text="none",
    )


# --- the chosen routes ---


def rate_by_status(signals: Signals) -> Panel:
    """Return requests by status."""
    status = signals.by_status.status
    return lines(
        "Rate by status",
        "Requests per second, by status code.",
        Unit.REQUESTS,
        Query(request_rates(signals, status, routes=CHOSEN), legend(status) if status else ""),
        width=8,
        stacked=True,
    )


def errors(signals: Signals) -> Panel:
    """Return the share of requests that failed."""
    route = signals.label
    return lines(
        "Errors",
        "Ratio of requests that ended in 5xx.",
        Unit.RATIO,
        Query(failing_ratio(signals, route, routes=CHOSEN), legend(route)),
        width=8,
    )


def durations_heatmap(signals: Signals) -> Panel:
    """Return all requests by duration."""
    signal = latency_of(signals)
    buckets = calls(signal, CHOSEN, part="_bucket", over=RATE_INTERVAL, function="increase")
    return Panel(
        "Distribution of durations",
        "Number of responses by duration.",
        Kind.HEATMAP,
        Unit.SECONDS,
        (Query(f"sum by (le) ({buckets})", "{{le}}"),),
    )
