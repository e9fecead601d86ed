"""The colours that series keep on every board and in every chart."""

from observability.lib.panel_queries import QUANTILES, legend
from observability.lib.panels import BAD, BLUE, GOOD, PALETTE, PINK, SKY, WARN
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.quantities import format_decimal

OUTCOMES = dict(zip(names.OUTCOMES, (GOOD, BAD), strict=True))
CODES = {"200": GOOD, "201": BLUE, "204": SKY, "404": WARN, "422": PINK, "500": BAD}
CODE_CLASSES = {"2xx": GOOD, "3xx": SKY, "4xx": WARN, "5xx": BAD}
LOG_LEVELS = dict(
    zip((*names.LOG_LEVELS, names.LOG_UNKNOWN), (SKY, BLUE, WARN, BAD, PINK), strict=True)
)
QUANTILE_COLOURS = dict(
    zip((f"p{format_decimal(share * 100)}" for share in QUANTILES), (SKY, BLUE, PINK), strict=True)
)


def colours_by_legend(plan: Plan) -> dict[str, dict[str, str]]:
    """Return legend template → name of a series → its colour."""
    routes = {route.id: PALETTE[n % len(PALETTE)] for n, route in enumerate(plan.routes)}
    by_legend = {
        legend(names.ROUTE): routes,
        legend(names.OUTCOME): OUTCOMES,
        legend(names.CODE): CODES | CODE_CLASSES,
        legend(names.LOG_LEVEL): LOG_LEVELS,
    }
    constant_legends = QUANTILE_COLOURS | {"all": BLUE}
    return by_legend | {name: {name: colour} for name, colour in constant_legends.items()}


def series_colours(plan: Plan) -> dict[str, str]:
    """Return name of a series → its colour, of all legends."""
    merged: dict[str, str] = {}
    for colours in colours_by_legend(plan).values():
        merged |= colours
    return merged
