"""Every question of every board is asked of the running stack.

None is refused, and those that should have an answer have one.
"""

import time

import pytest

from observability.generate.dashboards.registry import boards
from observability.lib.panels import METRICS, Panel
from observability.lib.prometheus import Prometheus
from observability.spec import loading
from tests.e2e.conftest import Stack

PLAN = loading.load_plan()
BOARDS = {board.slug: board for board in boards(PLAN)}
CHOSEN = {"slo": "nodes.list-availability", "route": ".*", "__rate_interval": "1m"}
PATIENCE = 150  # seconds: the budget is computed every two minutes


def unanswered(panel: Panel, prometheus: Prometheus) -> list[str]:
    """The panel's questions without a single sample; Unreachable when one is refused."""
    return [
        query.expr for query in panel.bind(**CHOSEN).queries if not prometheus.query(query.expr)
    ]


@pytest.mark.parametrize(
    "slug",
    [
        slug
        for slug, board in BOARDS.items()
        if any(panel.source == METRICS for panel in board.panels)
    ],
)
def test_every_panel_has_an_answer(stack: Stack, slug: str) -> None:
    """No question is refused.

    Within minutes of a start every panel that should show something does.
    """
    prometheus = Prometheus(stack.layout.url("prometheus"))
    stack.get("/api/v1/nodes/")
    waiting = [panel for panel in BOARDS[slug].panels if panel.source == METRICS]
    deadline = time.monotonic() + PATIENCE
    while waiting and time.monotonic() < deadline:
        waiting = [
            panel for panel in waiting if unanswered(panel, prometheus) and panel.expects_data
        ]
        time.sleep(1 if waiting else 0)
    assert {panel.title: unanswered(panel, prometheus) for panel in waiting} == {}


def test_a_refused_question_is_seen(stack: Stack) -> None:
    """The test above can fail: a panel about nothing is waited for in vain."""
    panel = next(BOARDS["runtime"].panels)
    prometheus = Prometheus(stack.layout.url("prometheus"))
    assert unanswered(panel, prometheus) == []
    lost = panel.bind(**CHOSEN)
    assert unanswered(
        type(lost)(**{**vars(lost), "queries": (type(lost.queries[0])("evara_nothing", ""),)}),
        prometheus,
    ) == ["evara_nothing"]
