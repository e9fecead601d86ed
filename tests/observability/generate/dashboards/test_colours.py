"""Colours that series keep on every board."""

from observability.generate.dashboards.colours import series_colours
from observability.lib.panels import PALETTE
from observability.spec.plan import Plan


def test_every_route_has_a_colour_of_the_palette(plan: Plan) -> None:
    """The colour of a route does not depend on what it is drawn beside."""
    assert {series_colours(plan)[route.id] for route in plan.routes} <= set(PALETTE)
