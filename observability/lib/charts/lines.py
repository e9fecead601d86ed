"""Lines and stacked areas with their thresholds."""

import math
from typing import TYPE_CHECKING

from observability.lib.charts.chart import Chart
from observability.lib.charts.layout import PLOT_HEIGHT
from observability.lib.charts.series import Series
from observability.lib.charts.ticks import MINUTE, round_numbers, round_times
from observability.lib.charts.values import text
from observability.lib.panels import Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_TOPS = {Unit.RATIO: 0.01, Unit.SECONDS: 0.01, Unit.BYTES: 1e6}  # so that noise looks small
LEAST_TOP = 0.1  # of the other units
MARGIN = 1.06  # the axis ends so many times above the highest value
LABEL_SIZE = 9  # pixels
LABEL_HEIGHT = 10
RIGHT_END = 0.995  # share of the plot's width


def draw_lines(axes: "Axes", chart: Chart) -> None:
    """Draw lines or stacked areas, the thresholds that are near, and the value axis."""
    axes.grid(axis="y", color=chart.theme.grid, linewidth=0.8)
    if chart.panel.stacked:
        peak = draw_areas(axes, chart)
    else:
        peak = chart.peak
        draw_curves(axes, chart.times, chart.data)
    draw_curves(axes, chart.times, chart.near_thresholds)
    low, high = value_range(chart, peak)
    draw_value_axis(axes, chart.panel.unit, low, high)
    pixel = MARGIN * (high - low) / PLOT_HEIGHT
    label_thresholds(axes, chart.near_thresholds, pixel)


def value_range(chart: Chart, peak: float) -> tuple[float, float]:
    """Return the lowest and the highest value that the axis shows.

    The axis includes 0, so that heights can be compared, and the thresholds that are near.
    """
    panel = chart.panel
    low = min(min(series.heights) for series in chart.data)
    thresholds = [series.peak for series in chart.near_thresholds]
    least_top = LEAST_TOPS.get(panel.unit, LEAST_TOP)
    high = max(peak, least_top, panel.axis_max or 0.0, *thresholds)
    return min(low, 0.0), high


def draw_areas(axes: "Axes", chart: Chart) -> float:
    """Draw the series on top of each other; return the highest sum.

    A moment without a sample counts as 0, because a gap would tear the areas above it.
    """
    heights = [series.heights for series in chart.data]
    colours = [series.style["color"] for series in chart.data]
    axes.stackplot(chart.times, *heights, colors=colours, alpha=0.8, linewidth=0)
    return max(map(sum, zip(*heights, strict=True)))


def draw_curves(axes: "Axes", times: list[float], curves: list[Series]) -> None:
    """Draw lines; a series with a single sample is a dot."""
    for series in curves:
        marker = "o" if len(series.samples) == 1 else ""
        axes.plot(times, series.values, marker=marker, markersize=3, **series.style)


def draw_value_axis(axes: "Axes", unit: Unit, low: float, high: float) -> None:
    """Draw the value axis with round marks: of times above a minute, else of numbers."""
    round_marks = round_numbers
    if unit == Unit.SECONDS and high > MINUTE:
        round_marks = round_times
    marks = round_marks(low, high * 1.001, 4)
    axes.set_ylim(low * MARGIN, high * MARGIN)
    axes.set_yticks(marks, [text(mark, unit) for mark in marks])


def label_thresholds(axes: "Axes", thresholds: list[Series], pixel: float) -> None:
    """Write the names of thresholds above the right end of their lines.

    `pixel` is the height of a pixel in values; names that would touch share a line of text.
    """
    for group in groups_by_place(thresholds, LABEL_HEIGHT * pixel):
        lowest = group[0]
        axes.text(
            RIGHT_END,
            lowest.samples[-1] + 2 * pixel,
            " · ".join(threshold.label for threshold in group),
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="bottom",
            size=LABEL_SIZE,
            color=lowest.style["color"],
        )


def groups_by_place(thresholds: list[Series], distance: float) -> list[list[Series]]:
    """Return the thresholds in groups that begin at least `distance` above each other.

    The groups and the thresholds in each ascend.
    """
    groups: list[list[Series]] = []
    lowest = -math.inf
    for threshold in sorted(thresholds, key=lambda series: series.peak):
        value = threshold.samples[-1]
        if value - lowest >= distance:
            groups.append([])
            lowest = value
        groups[-1].append(threshold)
    return groups
