"""The series of a panel's queries, read from Prometheus on a grid of times."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from observability.lib.panels import Panel, Query
from observability.lib.prometheus import Prometheus

POINTS = 160  # of a chart, about
SHORTEST_STEP = 5.0  # seconds
SHORTEST_RATE = 60.0  # seconds


@dataclass(frozen=True)
class Grid:
    """The times at which a chart has points: the multiples of `step` seconds by `numbers`.

    The same moment is therefore the same point in every chart of that step.
    """

    numbers: range
    step: float

    @property
    def times(self) -> list[float]:
        """Return the Unix times."""
        return [number * self.step for number in self.numbers]


@dataclass(frozen=True)
class Series:
    """One series on a grid; NaN where there is no sample."""

    label: str
    query: Query
    values: list[float]
    style: dict[str, Any] = field(default_factory=dict)  # matplotlib's properties of its line

    @property
    def samples(self) -> list[float]:
        """Return the values that are present."""
        return [value for value in self.values if not math.isnan(value)]

    @property
    def peak(self) -> float:
        """Return the highest value, minus infinity if there is none."""
        return max(self.samples, default=-math.inf)


def grid_between(start: float, end: float) -> Grid:
    """Return the grid of a chart between two Unix times; it has at least two times."""
    shortest = max((end - start) / POINTS, 1)
    step = math.ceil(shortest / SHORTEST_STEP) * SHORTEST_STEP
    first = math.floor(start / step)
    last = max(math.floor(end / step), first + 1)
    return Grid(range(first, last + 1), step)


def fetch_panel(panel: Panel, prometheus: Prometheus, grid: Grid) -> list[Series]:
    """Return the series of all queries; raise Unreachable."""
    bound = panel.bind(__rate_interval=f"{max(SHORTEST_RATE, grid.step):.0f}s")
    series: list[Series] = []
    for query in bound.queries:
        series += fetch_query(query, prometheus, grid)
    return series


def fetch_query(query: Query, prometheus: Prometheus, grid: Grid) -> Iterator[Series]:
    """Yield the series of one query in the order of their labels; raise Unreachable."""
    times = grid.times
    answer = prometheus.query_range(query.expr, times[0], times[-1], grid.step)
    for labels, samples in sorted(answer, key=lambda series: sorted(series[0].items())):
        label = legend_text(query.legend, labels)
        yield Series(label, query, values_on_grid(samples, grid))


def values_on_grid(samples: list[tuple[float, float]], grid: Grid) -> list[float]:
    """Return a value for each time of the grid, NaN where there is no finite sample."""
    values = dict.fromkeys(grid.numbers, math.nan)
    for moment, value in samples:
        if math.isfinite(value):
            values[round(moment / grid.step)] = value
    return [values[number] for number in grid.numbers]


def legend_text(legend: str, labels: dict[str, str]) -> str:
    """Return the legend with each `{{label}}` replaced by the series' value, or by nothing."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)
