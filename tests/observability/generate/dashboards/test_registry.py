"""The registry of boards: they follow the catalogue."""

from collections.abc import Callable

import promql_parser
import pytest

from observability.generate.dashboards.registry import boards
from observability.lib.panels import METRICS
from observability.spec import board_slugs
from observability.spec.plan import Plan
from tests.observability.compiler_support import SMALL


def test_every_board_is_registered_once_in_reading_order(plan: Plan) -> None:
    """The slugs of the boards are those that links know."""
    assert tuple(board.slug for board in boards(plan)) == board_slugs.ALL


@pytest.mark.parametrize("probed_routes", ["[]", "[things.list]"])
def test_a_small_service_has_all_boards(plan_of: Callable[..., Plan], probed_routes: str) -> None:
    """Without jobs, dependencies and probes, every query is still PromQL."""
    plan = plan_of(SMALL.replace("routes: []", f"routes: {probed_routes}"))
    panels = [panel for board in boards(plan) for panel in board.panels]
    bound_panels = [panel.bind(slo="a", route="a", __rate_interval="1m") for panel in panels]
    for panel in bound_panels:
        if panel.source == METRICS:
            for query in panel.queries:
                assert promql_parser.parse(query.expr)
