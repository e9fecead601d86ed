"""The routes board: rate, errors and duration (RED) of every route."""

from dataclasses import replace

from observability.generate.dashboards.shared_panels import alert_annotations
from observability.lib.panel_builders import lines, table
from observability.lib.panel_queries import failing_ratio, legend, quantile_queries, sum_query
from observability.lib.panels import Board, Kind, Panel, Query, Row, Unit, Variable
from observability.lib.promql import RATE_INTERVAL, rate, selector
from observability.sli.latency import durations_panel
from observability.sli.sources import GOOD_RESPONSES
from observability.spec import board_slugs, names
from observability.spec.plan import SHORT_WINDOW, Plan

REQUESTS = names.HTTP_REQUESTS + "_total"


def board(plan: Plan) -> Board:
    """Return the board with all routes in tables, and the chosen ones over time."""
    durations = durations_panel(
        plan,
        "Good answers, from dispatch to answer; the dashed lines are what was promised.",
        "$route",
        route="~$route",
    )
    chosen = (RATE_BY_STATUS, ERRORS, UNHANDLED_EXCEPTIONS, durations, DURATION_HEATMAP)
    route_values = f"label_values({names.HTTP_DURATION}_count, {names.ROUTE})"
    return Board(
        board_slugs.ROUTES,
        "Routes",
        "Rate, errors and duration (RED) of every route",
        (Row("All routes", (ROUTE_TABLE, TOP_ERRORS)), Row("Chosen: $route", chosen)),
        (Variable("route", "Route", route_values, multi=True),),
        alert_annotations(plan, **{names.SUBJECT: "~$route"}),
    )


ROUTE_QUANTILES = quantile_queries(
    names.HTTP_DURATION, over=SHORT_WINDOW, by=names.ROUTE, route="~.*", **GOOD_RESPONSES
)
ROUTE_TABLE = table(
    "Routes",
    "Rate, errors and duration of every route over the last minutes.",
    Unit.NUMBER,
    Query(f"sum by ({names.ROUTE}) ({rate(REQUESTS, SHORT_WINDOW)})", "requests/s", Unit.REQUESTS),
    Query(failing_ratio(".*", over=SHORT_WINDOW, by=names.ROUTE), "failing", Unit.RATIO),
    *(replace(query, unit=Unit.SECONDS) for query in ROUTE_QUANTILES),
    width=16,
    height=11,
    key=names.ROUTE,
    link=board_slugs.ROUTES,
    sort_by=("-requests/s",),
)
ERROR_RESPONSES = selector(REQUESTS, code="~[45]..", route="~$route")
TOP_ERRORS = table(
    "Top errors",
    "Which answers of 4xx and 5xx there were most of, over the last hour.",
    Unit.NUMBER,
    Query(
        f"topk(10, sum by ({names.ROUTE}, {names.CODE}) (increase({ERROR_RESPONSES}[1h])) >= 1)",
        "answers",
        decimals=0,
    ),
    width=8,
    height=11,
    key=f"{names.ROUTE},{names.CODE}",
    expects_data=False,
    no_data_text="none",
)
RATE_BY_STATUS = lines(
    "Rate by status",
    "Requests answered, by exact status.",
    Unit.REQUESTS,
    sum_query(rate(REQUESTS, route="~$route"), names.CODE),
    width=8,
    stacked=True,
)
ERRORS = lines(
    "Errors",
    "Share of requests that ended in 5xx.",
    Unit.RATIO,
    Query(failing_ratio("$route", by=names.ROUTE), legend(names.ROUTE)),
    width=8,
)
EXCEPTIONS = selector(names.HTTP_EXCEPTIONS + "_total", route="~$route")
UNHANDLED_EXCEPTIONS = lines(
    "Unhandled exceptions",
    "So far, by class; the log has their tracebacks.",
    Unit.NUMBER,
    Query(
        f"sum by ({names.ROUTE}, {names.TYPE}) ({EXCEPTIONS}) > 0",
        legend(names.ROUTE, names.TYPE),
    ),
    width=8,
    expects_data=False,
    no_data_text="none",
)
DURATION_BUCKETS = selector(names.HTTP_DURATION + "_bucket", route="~$route")
DURATION_HEATMAP = Panel(
    "Duration, every answer",
    "How many answers took how long.",
    Kind.HEATMAP,
    Unit.SECONDS,
    (Query(f"sum by (le) (increase({DURATION_BUCKETS}[{RATE_INTERVAL}]))", "{{le}}"),),
)
