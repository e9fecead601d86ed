"""The load board: the server's side of a load run, of our own API alone."""

from observability.generate.dashboards.shared_panels import (
    alert_annotations,
    burn_rates,
    traffic,
    worker_resources,
)
from observability.lib.panel_builders import lines
from observability.lib.panel_queries import P95, legend, quantile_queries
from observability.lib.panels import Board, Query, Row, Unit
from observability.lib.requests import duration
from observability.sli.latency import durations_panel
from observability.spec import board_slugs, names
from observability.spec.plan import Plan
from observability.spec.presets import EVARA

SLOWEST_ROUTES = lines(
    "p95 by route",
    "95 % of the route's successful requests took at most this long.",
    Unit.SECONDS,
    Query(f"{duration(EVARA, P95, names.ROUTE)} > 0", legend(names.ROUTE)),
)
DATABASE_TIME = lines(
    "Database time",
    "Duration of successful statements.",
    Unit.SECONDS,
    *quantile_queries(names.DEPENDENCY_DURATION, dependency=names.DATABASE, outcome="ok"),
)


def board(plan: Plan) -> Board:
    """Return the board, whose panels the report of a load run shows as well."""
    description = "Duration of successful requests; dashed lines are the objectives' thresholds."
    costs = [
        durations_panel(plan, description, ".*"),
        SLOWEST_ROUTES,
        *worker_resources(width=12),
        burn_rates(),
    ]
    if names.DATABASE in plan.dependencies:
        costs.insert(-1, DATABASE_TIME)
    return Board(
        board_slugs.LOAD,
        "Load run",
        "The server's side of a load run; the report links it with the time of the run",
        (Row("Traffic", traffic(plan)), Row("Duration and cost", tuple(costs))),
        annotations=alert_annotations(plan),
        time_from="now-15m",
    )
