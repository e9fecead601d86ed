"""Every query of every board, against the running stack."""

import time

import pytest

from observability.generate.dashboards.registry import boards
from observability.lib.panels import METRICS, Panel
from observability.lib.prometheus import ServicePrometheus
from observability.spec import loading
from tests.e2e.conftest import Stack

PLAN = loading.load_plan()
BOARDS = {board.slug: board for board in boards(PLAN)}
VARIABLES = {"slo": "nodes.list-availability", "route": ".*", "__rate_interval": "1m"}
TIMEOUT = 150  # seconds: the budget is computed every two minutes


def queries_without_data(panel: Panel, prometheus: ServicePrometheus) -> list[str]:
    """Return the queries of a panel without a sample; raise Unreachable for an invalid one."""
    return [
        query.expr for query in panel.bind(**VARIABLES).queries if not prometheus.query(query.expr)
    ]


@pytest.mark.parametrize(
    "slug",
    [
        slug
        for slug, board in BOARDS.items()
        if any(panel.source == METRICS for panel in board.panels)
    ],
)
def test_panels_have_data(stack: Stack, slug: str) -> None:
    """No query is invalid, and within minutes every panel that expects data has some."""
    prometheus = ServicePrometheus(stack.layout.url("prometheus"), PLAN)
    stack.get("/api/v1/nodes/")
    empty_panels = [panel for panel in BOARDS[slug].panels if panel.source == METRICS]
    deadline = time.monotonic() + TIMEOUT
    while empty_panels and time.monotonic() < deadline:
        empty_panels = [
            panel
            for panel in empty_panels
            if queries_without_data(panel, prometheus) and panel.expects_data
        ]
        time.sleep(1 if empty_panels else 0)
    assert {panel.title: queries_without_data(panel, prometheus) for panel in empty_panels} == {}


def test_query_of_an_unknown_metric_has_no_data(stack: Stack) -> None:
    """A query of a metric that does not exist is reported."""
    panel = next(BOARDS["runtime"].panels)
    prometheus = ServicePrometheus(stack.layout.url("prometheus"), PLAN)
    assert queries_without_data(panel, prometheus) == []
    bound = panel.bind(**VARIABLES)
    assert queries_without_data(
        type(bound)(**{**vars(bound), "queries": (type(bound.queries[0])("evara_nothing", ""),)}),
        prometheus,
    ) == ["evara_nothing"]
