"""The series of a panel's queries, read from Prometheus on a grid of times."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from observability.lib.panels import Panel, Query
from observability.lib.prometheus import Labels, ServicePrometheus

POINTS = 160  # of a chart, about
SHORTEST_STEP = 5  # seconds
SHORTEST_RATE = 60  # seconds
Grid = range  # Unix times


@dataclass(frozen=True)
class Curve:
    """One series on a grid; NaN where there is no sample."""

    label: str
    query: Query
    values: list[float]

    @property
    def samples(self) -> list[float]:
        """Return the values that are present."""
        return [value for value in self.values if not math.isnan(value)]

    @property
    def peak(self) -> float:
        """Return the highest value, minus infinity if there is none."""
        return max(self.samples, default=-math.inf)


def grid_between(start: float, end: float) -> Grid:
    """Return the times of a chart between two Unix times; there are at least two.

    They are multiples of the step, so the same moment is the same point in every chart of a step.
    """
    shortest = max((end - start) / POINTS, 1)
    step = math.ceil(shortest / SHORTEST_STEP) * SHORTEST_STEP
    first = math.floor(start / step) * step
    last = max(math.floor(end / step) * step, first + step)
    return range(first, last + 1, step)


def fetch_panel(panel: Panel, prometheus: ServicePrometheus, grid: Grid) -> list[Curve]:
    """Return the series of all queries; raise Unreachable."""
    bound = panel.bind(__rate_interval=f"{max(SHORTEST_RATE, grid.step)}s")
    curves: list[Curve] = []
    for query in bound.queries:
        curves += fetch_query(query, prometheus, grid)
    return curves


def fetch_query(query: Query, prometheus: ServicePrometheus, grid: Grid) -> Iterator[Curve]:
    """Yield the series of one query in the order of their labels; raise Unreachable."""
    answer = prometheus.query_range(query.expr, grid[0], grid[-1], grid.step)
    for labels, samples in sorted(answer, key=lambda series: sorted(series[0].items())):
        values = {round(moment): value for moment, value in samples if math.isfinite(value)}
        label = legend_text(query.legend, labels)
        yield Curve(label, query, [values.get(moment, math.nan) for moment in grid])


def legend_text(legend: str, labels: Labels) -> str:
    """Return the legend with each `{{label}}` replaced by the series' value, or by nothing."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)
