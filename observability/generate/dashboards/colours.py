"""The colours that series keep on every board and in every chart."""

from observability.lib.panel_queries import legend
from observability.lib.panels import BAD, BLUE, GOOD, PALETTE, PINK, SKY, WARN
from observability.spec import names
from observability.spec.plan import Plan

Colours = dict[str, str]  # by name of a series
OUTCOMES = {"ok": GOOD, "error": BAD}
CODES = {"200": GOOD, "201": BLUE, "204": SKY, "404": WARN, "422": PINK, "500": BAD}
CODE_CLASSES = {"2xx": GOOD, "3xx": SKY, "4xx": WARN, "5xx": BAD}
LOG_LEVELS = {"debug": SKY, "info": BLUE, "warning": WARN, "error": BAD, "unknown": PINK}
CONSTANT_LEGENDS = {"p50": SKY, "p90": BLUE, "p99": PINK, "all": BLUE}


COLOURS_BY_LEGEND: dict[str, Colours] = {  # legend template → name of a series → its colour
    legend(names.OUTCOME): OUTCOMES,
    legend(names.CODE): CODES | CODE_CLASSES,
    legend(names.LOG_LEVEL): LOG_LEVELS,
    **{name: {name: colour} for name, colour in CONSTANT_LEGENDS.items()},
}


def series_colours(plan: Plan) -> Colours:
    """Return name of a series → its colour, of all legends.

    On boards, which do not grow with the routes, Grafana chooses a route's colour by its name.
    """
    merged = {route.id: PALETTE[n % len(PALETTE)] for n, route in enumerate(plan.routes)}
    for colours in COLOURS_BY_LEGEND.values():
        merged |= colours
    return merged
