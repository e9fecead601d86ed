"""The registry of boards: they follow the catalogue."""

from collections.abc import Callable

import promql_parser
import pytest

from observability.generate.dashboards.grafana import files
from observability.generate.dashboards.registry import boards
from observability.lib.panels import METRICS, Unit
from observability.spec import board_slugs
from observability.spec.plan import Plan
from tests.observability.compiler_support import MANY, SMALL
from tests.observability.generate.dashboards.support import board_panel


def test_every_board_is_registered_once_in_reading_order(plan: Plan) -> None:
    """The slugs of the boards are those that links know."""
    assert tuple(board.slug for board in boards(plan)) == board_slugs.ALL


def test_the_metrics_of_the_service_have_panels(plan: Plan) -> None:
    """Each appears on the board that the catalogue names, with a line for each set of labels."""
    panel = board_panel(plan, board_slugs.JOBS, "Orders sent")
    [query] = panel.queries
    assert query.expr == "sum by (task) (rate(evara_orders_sent_total[5m]))"
    assert (query.legend, panel.unit) == ("{{task}}", Unit.PER_SECOND)


def test_boards_do_not_grow_with_routes(plan_of: Callable[..., Plan]) -> None:
    """Variables choose the route; no query or colour names one."""
    assert files.render(plan_of(SMALL)) == files.render(plan_of(MANY))


def test_a_service_without_dependencies_and_jobs_has_no_boards_for_them(
    plan_of: Callable[..., Plan],
) -> None:
    """The board of jobs also shows probes, and own metrics appear on the board that they name."""
    bare = plan_of(SMALL)
    left_out = {board_slugs.DEPENDENCIES, board_slugs.JOBS}
    assert {board.slug for board in boards(bare)} == set(board_slugs.ALL) - left_out
    probed = plan_of(SMALL.replace("routes: []", "routes: [things.list]"))
    assert board_slugs.JOBS in {board.slug for board in boards(probed)}


def test_panels_of_a_gateway_and_a_database_need_them_in_the_catalogue(
    plan: Plan, plan_of: Callable[..., Plan]
) -> None:
    """A service without them has no panel that stays empty."""
    titles = {"Database time", "Connections to PostgreSQL"}
    for declared, expected in ((plan, titles), (plan_of(SMALL), set())):
        panels = [panel.title for board in boards(declared) for panel in board.panels]
        assert titles.intersection(panels) == expected


@pytest.mark.parametrize("probed_routes", ["[]", "[things.list]"])
def test_every_query_of_a_small_service_is_promql(
    plan_of: Callable[..., Plan], probed_routes: str
) -> None:
    """Without jobs, dependencies and probes, every query is still PromQL."""
    plan = plan_of(SMALL.replace("routes: []", f"routes: {probed_routes}"))
    panels = [panel for board in boards(plan) for panel in board.panels]
    bound_panels = [panel.bind(slo="a", route="a", __rate_interval="1m") for panel in panels]
    for panel in bound_panels:
        if panel.source == METRICS:
            for query in panel.queries:
                assert promql_parser.parse(query.expr)
