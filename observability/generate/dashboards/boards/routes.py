"""The routes board: rate, errors and duration (RED) of every route."""

from dataclasses import replace

from observability.generate.dashboards.shared_panels import alert_annotations
from observability.lib.panel_builders import lines, table
from observability.lib.panel_queries import failing_ratio, legend, quantile_queries, query
from observability.lib.panels import Board, Kind, Panel, Query, Row, Unit, Variable
from observability.lib.templates import fill
from observability.sli.latency import durations_panel
from observability.sli.sources import GOOD_RESPONSES
from observability.spec import board_slugs, names
from observability.spec.plan import SHORT_WINDOW, Plan

REQUESTS_BY_ROUTE = "sum by (<<ROUTE>>) (rate(<<HTTP_REQUESTS>>_total[<<window>>]))"
QUANTILES_BY_ROUTE = quantile_queries(
    names.HTTP_DURATION, over=SHORT_WINDOW, by=names.ROUTE, route="~.*", **GOOD_RESPONSES
)
DURATION_COLUMNS = [replace(quantile, unit=Unit.SECONDS) for quantile in QUANTILES_BY_ROUTE]
ROUTE_TABLE = table(
    "Routes",
    "Rate, errors and duration of every route in the last minutes.",
    Unit.NUMBER,
    Query(fill(REQUESTS_BY_ROUTE, window=SHORT_WINDOW), "requests/s", Unit.REQUESTS),
    Query(failing_ratio(".*", over=SHORT_WINDOW, by=names.ROUTE), "failing", Unit.RATIO),
    *DURATION_COLUMNS,
    width=16,
    height=11,
    key=names.ROUTE,
    link=board_slugs.ROUTES,
    sort_by=("-requests/s",),
)
ERROR_RESPONSES = (
    "topk(10, sum by (<<ROUTE>>, <<CODE>>) "
    '(increase(<<HTTP_REQUESTS>>_total{<<CODE>>=~"[45]..", <<ROUTE>>=~"$route"}[1h])) >= 1)'
)
TOP_ERRORS = table(
    "Top errors",
    "The most frequent responses of 4xx and 5xx in the last hour.",
    Unit.NUMBER,
    query(ERROR_RESPONSES, "responses", decimals=0),
    width=8,
    height=11,
    key=f"{names.ROUTE},{names.CODE}",
    expects_data=False,
    no_data_text="none",
)
REQUESTS_BY_CODE = (
    'sum by (<<CODE>>) (rate(<<HTTP_REQUESTS>>_total{<<ROUTE>>=~"$route"}[$__rate_interval]))'
)
RATE_BY_STATUS = lines(
    "Rate by status",
    "Requests per second, by status code.",
    Unit.REQUESTS,
    query(REQUESTS_BY_CODE, "{{<<CODE>>}}"),
    width=8,
    stacked=True,
)
ERRORS = lines(
    "Errors",
    "Ratio of requests that ended in 5xx.",
    Unit.RATIO,
    Query(failing_ratio("$route", by=names.ROUTE), legend(names.ROUTE)),
    width=8,
)
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
REQUESTS_BY_BUCKET = (
    'sum by (le) (increase(<<HTTP_DURATION>>_bucket{<<ROUTE>>=~"$route"}[$__rate_interval]))'
)
DURATION_HEATMAP = Panel(
    "Distribution of durations",
    "Number of responses by duration.",
    Kind.HEATMAP,
    Unit.SECONDS,
    (query(REQUESTS_BY_BUCKET, "{{le}}"),),
)


def board(plan: Plan) -> Board:
    """Return the board with all routes in tables, and the chosen ones over time."""
    durations = durations_panel(
        plan,
        "Duration of successful requests; dashed lines are the objectives' thresholds.",
        "$route",
        route="~$route",
    )
    chosen = (RATE_BY_STATUS, ERRORS, UNHANDLED_EXCEPTIONS, durations, DURATION_HEATMAP)
    return Board(
        board_slugs.ROUTES,
        "Routes",
        "Rate, errors and duration (RED) of every route",
        (Row("All routes", (ROUTE_TABLE, TOP_ERRORS)), Row("Selected: $route", chosen)),
        (Variable("route", "Route", names.HTTP_DURATION + "_count", multi=True),),
        alert_annotations(plan, **{names.SUBJECT: "~$route"}),
    )
