"""A Prometheus with recorded answers, and the parts of a chart that tests examine."""

import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from observability.lib import charts
from observability.lib.panels import Kind, Panel, Query, Unit

START = 1_000_000.0
END = 1_000_900.0
STEP = 10.0
Series = tuple[dict[str, str], list[tuple[float, float]]]


class Recorded:
    """A Prometheus with fixed answers by expression, which records its requests."""

    def __init__(self, **answers: Sequence[Series]):
        self.answers = answers
        self.requests: list[tuple[str, float, float, float]] = []

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """Return the recorded series of an expression."""
        self.requests.append((expr, start, end, step))
        return list(self.answers.get(expr, []))


def constant_series(value: float, **labels: str) -> Series:
    """Return a series that has the same value over the whole chart."""
    return labels, [(START + number * STEP, value) for number in range(91)]


def panel_of(*queries: Query, unit: Unit = Unit.SECONDS) -> Panel:
    """Return a panel of lines with the given queries."""
    return Panel("Title", "", Kind.LINES, unit, queries)


def draw(panel: Panel, prometheus: Any, **options: Any) -> str:
    """Return the chart of a panel as SVG; `options` are those of `charts.svg`."""
    return charts.svg(panel, prometheus, START, END, **options)


def texts(svg: str) -> list[str]:
    """Return the texts of a chart in their order."""
    root = ElementTree.fromstring(svg)  # noqa: S314
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def plotted_paths(svg: str, colour: str) -> list[str]:
    """Return the shapes in a colour that are not keys of the legend."""
    plot = svg[: svg.index('id="legend_1"')]
    return re.findall(rf'<path d="([^"]*)"[^>]*stroke: {re.escape(colour.lower())}', plot)
