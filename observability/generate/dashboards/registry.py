"""The registry of boards: a new board is a module in `boards` and a line here."""

from dataclasses import replace

from observability.generate.dashboards.boards import (
    dependencies,
    jobs,
    load,
    logs,
    overview,
    routes,
    runtime,
    slo,
)
from observability.lib.panel_builders import lines
from observability.lib.panel_queries import legend
from observability.lib.panels import Board, Panel, Query, Row, Unit
from observability.spec.plan import Plan
from observability.spec.schema.metrics import MetricEntry

# in the order in which people read them
MODULES = (overview, slo, routes, dependencies, runtime, jobs, logs, load)
OF_ANY_SERVICE = (overview, slo, routes, logs)  # the others show metrics of our own API
OF_ROUTES = (routes, runtime, load)


def boards(plan: Plan) -> tuple[Board, ...]:
    """Return every board that shows something the catalogue declares."""
    every_board = []
    for module in MODULES:
        board = module.board(plan)
        is_foreign = not (plan.signals.of_platform or module in OF_ANY_SERVICE)
        if is_foreign or (module in OF_ROUTES and not plan.routes):
            board = replace(board, rows=())
        every_board.append(add_own_metrics(plan, board))
    return tuple(board for board in every_board if board.rows)


def add_own_metrics(plan: Plan, board: Board) -> Board:
    """Return the board with the panels of the service's own metrics that belong to it."""
    panels = [
        build_panel(metric) for metric in plan.metrics.values() if metric.panel.board == board.slug
    ]
    if not panels:
        return board
    return replace(board, rows=(*board.rows, Row("Metrics of the service", tuple(panels))))


def build_panel(metric: MetricEntry) -> Panel:
    """Return the panel of a metric, with a line for each set of its labels."""
    panel = metric.panel
    query = Query(panel.query, " ".join(map(legend, metric.labels)))
    unit = Unit[panel.unit.upper()]
    return lines(panel.title, panel.text, unit, query, expects_data=panel.expects_data)
