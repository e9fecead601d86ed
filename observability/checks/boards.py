"""Check `boards`: the queries of dashboards parse, and ask for what exists."""

from collections.abc import Iterator

from observability.checks.expressions import check_expression, known_edges, known_series
from observability.generate.dashboards.grafana.files import DASHBOARDS
from observability.generate.dashboards.registry import boards
from observability.generate.registry import GENERATED
from observability.lib.panels import METRICS
from observability.spec.plan import Plan
from observability.spec.problems import Problem

VARIABLES = {"slo": "x", "route": "x", "__rate_interval": "1m"}  # with values that parse


def check(plan: Plan) -> Iterator[Problem]:
    """Yield the problems of the queries to Prometheus on every dashboard."""
    series = known_series(plan)
    edges = known_edges(plan)
    for board in boards(plan):
        path = GENERATED / DASHBOARDS / f"{board.slug}.json"
        for panel in board.panels:
            if panel.source != METRICS:
                continue
            where = f"{path}: panel {panel.title!r}"
            for query in panel.bind(**VARIABLES).queries:
                for message, fix in check_expression(query.expr, series, edges):
                    yield Problem(where, message, fix, "boards")
