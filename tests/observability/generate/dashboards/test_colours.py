"""Colours that series keep on every board."""

from observability.generate.dashboards import colours
from observability.generate.dashboards.colours import series_colours
from observability.lib.panel_queries import QUANTILES
from observability.lib.panels import PALETTE
from observability.spec import names
from observability.spec.plan import Plan


def test_every_route_has_a_colour_of_the_palette(plan: Plan) -> None:
    """The colour of a route is the same on every board."""
    assert {series_colours(plan)[route.id] for route in plan.routes} <= set(PALETTE)


def test_colours_are_those_of_series_that_exist() -> None:
    """Outcomes, levels of log lines and quantiles have the names that their labels have."""
    assert tuple(colours.OUTCOMES) == names.OUTCOMES
    assert tuple(colours.LOG_LEVELS) == (*names.LOG_LEVELS, names.LOG_UNKNOWN)
    assert {f"p{share * 100:.0f}" for share in QUANTILES} < set(colours.CONSTANT_LEGENDS)
