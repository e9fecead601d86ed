"""The registry of boards: a new board is a module in `boards` and a line here."""

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
from observability.lib.panels import Board
from observability.spec.plan import Plan

MODULES = (overview, slo, routes, dependencies, runtime, jobs, logs, load)  # in reading order


def boards(plan: Plan) -> tuple[Board, ...]:
    """Return every board in the order in which people read them."""
    return tuple(module.board(plan) for module in MODULES)
