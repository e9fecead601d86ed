"""The panels of boards as SVG images: GET /charts/BOARD/NUMBER.svg."""

from dataclasses import dataclass

from flask import Blueprint, Response, abort, request
from flask.typing import ResponseReturnValue

from observability.console.context import console
from observability.console.queries import CHART_LIFETIME, Queries
from observability.lib.http import Unreachable
from observability.lib.panels import METRICS, Kind, Panel
from observability.spec import names

SPANS = {"15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "7d": 604_800}  # in seconds
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": f"private, max-age={CHART_LIFETIME:.0f}",
}
chart_images = Blueprint("chart_images", __name__)


@dataclass(frozen=True)
class ChartImage:
    """A panel of a board, and the parameters of its image."""

    panel: Panel
    slug: str
    number: int
    variables: dict[str, str]


@chart_images.get("/charts/<slug>/<int:number>.svg")
def chart(slug: str, number: int) -> ResponseReturnValue:
    """Draw a panel; 503 while Prometheus does not answer."""
    queries = console().queries
    variables = {name: request.args.get(name, "") for name in ("slo", "route")}
    panel = drawable_panels(slug).get(number)
    if panel is None or not known_values(queries).issuperset(variables.values()):
        abort(404)
    try:
        image = queries.chart(panel.bind(**variables), SPANS[selected_span()])
    except Unreachable as error:
        return Response(str(error), 503, mimetype="text/plain")
    return Response(image, mimetype="image/svg+xml", headers=HEADERS)


def drawable_panels(slug: str) -> dict[int, Panel]:
    """Return the panels of a board that can be drawn, by their number."""
    board = console().queries.boards.get(slug)
    panels = enumerate(board.panels) if board else []
    return {
        number: panel
        for number, panel in panels
        if panel.source == METRICS and panel.kind == Kind.LINES
    }


def known_values(queries: Queries) -> set[str]:
    """Return the values that a variable may have: SLOs, routes, or nothing."""
    slos = [slo.name for slo in queries.plan.slos]
    routes = [*queries.plan.route_ids.values(), names.UNMATCHED]
    return {"", *slos, *map(route_variable, routes)}


def route_variable(route: str) -> str:
    """Return the value of the variable `route`, a regular expression, for one route."""
    return route.replace(".", "[.]")


def selected_span() -> str:
    """Return the span of charts that the request asks for, the shortest by default."""
    span = request.args.get("span", "")
    return span if span in SPANS else next(iter(SPANS))


def images_of_board(slug: str, **variables: str) -> list[ChartImage]:
    """Return the images of a board; with variables, only those that depend on them."""
    return [
        ChartImage(panel, slug, number, variables)
        for number, panel in drawable_panels(slug).items()
        if not variables or panel.bind(**variables) != panel
    ]
