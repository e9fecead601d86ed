"""Boards as data: they follow the catalogue, and their queries can be bound to one SLO or route."""

from collections.abc import Callable

import promql_parser
import pytest

from observability.generate.dashboards.boards.slo import burn_steps, burn_rates_by_tier
from observability.generate.dashboards.colours import series_colours
from observability.generate.dashboards.registry import boards
from observability.lib.panels import METRICS, PALETTE, Kind, Panel, Query, Unit
from observability.spec.plan import Plan
from tests.observability.compiler_support import SMALL


def panel(plan: Plan, board: str, title: str) -> Panel:
    found = next(entry for entry in boards(plan) if entry.slug == board)
    return next(entry for entry in found.panels if entry.title == title)


def test_all_boards_are_there_once(plan: Plan) -> None:
    """The eight boards that people look for, each under its own slug."""
    assert [board.slug for board in boards(plan)] == [
        "overview",
        "slo",
        "routes",
        "dependencies",
        "runtime",
        "jobs",
        "logs",
        "load",
    ]


def test_a_threshold_is_drawn_where_it_was_promised(
    plan: Plan, plan_of: Callable[..., Plan]
) -> None:
    """The line of a latency threshold moves with it, and appears only for routes that have it."""

    def limits(made: Plan) -> dict[str, str]:
        return {
            query.legend: query.expr
            for query in panel(made, "routes", "Duration").queries
            if query.is_threshold
        }

    assert (
        limits(plan)["promised: 200ms"]
        == '0.2 + 0 * max(slo:objective:ratio{slo=~"$route-latency-200ms"})'
    )
    made = plan_of((("{threshold: 200ms, objective: 95}", "{threshold: 150ms, objective: 95}"),))
    assert limits(made).keys() - limits(plan).keys() == {"promised: 150ms"}
    assert limits(made)["promised: 150ms"].startswith("0.15 + ")


def test_the_tiers_lines_stand_in_the_burn_panel(plan: Plan) -> None:
    """Each tier that has a factor has a dashed line with the policy's number and maximum."""
    drawn = {
        query.legend: query.expr
        for query in panel(plan, "slo", "Burn rates and the tiers' lines").queries
        if query.is_threshold
    }
    assert set(drawn) == {f"{tier.name} {tier.severity}s" for tier in burn_rates_by_tier(plan)}
    assert "T0 pages" not in drawn
    assert drawn["T2 pages"].startswith("clamp_max(14.4 * (1 - slo:objective:ratio")
    assert ", 0.5)" in drawn["T2 pages"]


def test_burn_colours_follow_the_policy(plan: Plan) -> None:
    """From the slowest burn that pages on, the number is shown as bad."""
    assert burn_steps(plan)[-1][0] == 6  # T3's


def test_variables_are_filled_in() -> None:
    """Known variables are replaced wherever they stand, unknown ones stay."""
    query = Query('a{slo=~"$slo-x", b="$b"}[$__rate_interval]', "")
    bound = Panel("t", "d", Kind.LINES, Unit.SECONDS, (query,)).bind(slo="s", __rate_interval="1m")
    assert bound.queries[0].expr == 'a{slo=~"s-x", b="$b"}[1m]'


def test_routes_keep_their_colours(plan: Plan) -> None:
    """Each route has a colour of the palette, whatever it is drawn beside."""
    assert {series_colours(plan)[route.id] for route in plan.routes} <= set(PALETTE)


@pytest.mark.parametrize("service", ["probe alone", "nothing timed"])
def test_a_small_service_has_boards_too(plan_of: Callable[..., Plan], service: str) -> None:
    """Without jobs, dependencies and probes every question is still PromQL."""
    made = plan_of(
        SMALL.replace("routes: []", "routes: [things.list]") if service == "probe alone" else SMALL
    )
    for board in boards(made):
        for entry in board.panels:
            for query in entry.bind(slo="a", route="a", __rate_interval="1m").queries:
                assert entry.source != METRICS or promql_parser.parse(query.expr)
