"""Heat maps of histograms."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from observability.lib.charts.chart import Chart
from observability.lib.charts.series import Series
from observability.lib.charts.values import text
from observability.lib.panels import Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = 6  # of the bucket axis, about


def draw_heatmap(axes: "Axes", chart: Chart) -> None:
    """Draw a column for each moment and a row for each bucket; stronger colours count more."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    buckets = sorted(chart.data, key=upper_edge)
    counts = counts_by_bucket(buckets)
    axes.imshow(
        counts,
        origin="lower",
        aspect="auto",
        interpolation="none",
        cmap=LinearSegmentedColormap.from_list("answers", chart.theme.heatmap),
        norm=PowerNorm(0.5, vmin=0),
        extent=(chart.times[0], chart.times[-1], 0, len(buckets)),
    )
    draw_bucket_axis(axes, chart.panel.unit, buckets, counts)


def upper_edge(bucket: Series) -> float:
    """Return the `le` of a bucket."""
    return float(bucket.labels["le"])


def counts_by_bucket(buckets: list[Series]) -> list[list[float]]:
    """Return the counts of each bucket alone, NaN instead of 0.

    In Prometheus a bucket counts everything up to its edge.
    """
    below_first = [0.0] * len(buckets[0].values)
    cumulative = [below_first, *(bucket.values for bucket in buckets)]
    return [
        [positive_or_nan(upper - lower) for lower, upper in zip(below, up_to_edge, strict=True)]
        for below, up_to_edge in pairwise(cumulative)
    ]


def positive_or_nan(value: float) -> float:
    """Return the value, NaN unless it is above 0."""
    return value if value > 0 else math.nan


def draw_bucket_axis(
    axes: "Axes", unit: Unit, buckets: list[Series], counts: list[list[float]]
) -> None:
    """Show the buckets that have counts, and their upper edges."""
    first, last = filled_range(counts)
    step = max(1, round((last - first) / LABELS))
    marks = list(range(first + 1, last + 2, step))
    labels = [edge_text(buckets[mark - 1], unit) for mark in marks]
    axes.set_ylim(first, last + 1)
    axes.set_yticks(marks, labels)


def filled_range(counts: list[list[float]]) -> tuple[int, int]:
    """Return the first and the last bucket to show: those with counts, and one beside them."""
    filled = [number for number, row in enumerate(counts) if any(count > 0 for count in row)]
    first = max(min(filled, default=0) - 1, 0)
    last = max(filled, default=0) + 1
    return first, min(last, len(counts) - 1)


def edge_text(bucket: Series, unit: Unit) -> str:
    """Return the label of a bucket's upper edge."""
    edge = upper_edge(bucket)
    return "more" if math.isinf(edge) else text(edge, unit)
