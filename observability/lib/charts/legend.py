"""The legend below a chart of lines."""

import math
from typing import TYPE_CHECKING, Any

from observability.lib.charts.chart import Chart
from observability.lib.charts.layout import LEFT
from observability.lib.panels import Kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LISTED = 9  # series that the legend names
ROW_HEIGHT = 17  # pixels, as the three that follow
LETTER_WIDTH = 6.4
KEY_WIDTH = 38
MARGIN = 4
Entry = tuple[str, dict[str, Any]]  # a label with the style of its line


def legend_entries(chart: Chart) -> list[Entry]:
    """Return the largest series, how many more there are, and the thresholds.

    An arrow marks a threshold that is too far up to draw.
    """
    if not chart.has_data or chart.panel.kind != Kind.LINES:
        return []
    listed = chart.data
    more: list[Entry] = []
    if len(listed) > LISTED:
        listed = sorted(chart.data, key=lambda series: -series.peak)[:LISTED]
        more = [(f"and {len(chart.data) - LISTED} more", {"color": "none"})]
    entries = [(series.label, series.style) for series in listed]
    thresholds = {}
    for series in chart.thresholds:
        mark = " ↑" if chart.is_far(series) else ""
        thresholds[series.label + mark] = series.style
    return [*entries, *more, *thresholds.items()]


def column_count(entries: list[Entry], width: int) -> int:
    """Return how many columns fit into a picture of that width in pixels."""
    longest = max(len(label) for label, _ in entries)
    column_width = longest * LETTER_WIDTH + KEY_WIDTH
    fitting = int((width - LEFT) // column_width)
    return max(1, min(len(entries), fitting))


def legend_height(entries: list[Entry], width: int) -> int:
    """Return the height of the legend in pixels."""
    if not entries:
        return 0
    rows = math.ceil(len(entries) / column_count(entries, width))
    return rows * ROW_HEIGHT + MARGIN


def draw_legend(figure: "Figure", chart: Chart, entries: list[Entry], width: int) -> None:
    """Draw the entries below the plot, row by row."""
    from matplotlib.lines import Line2D

    columns = column_count(entries, width)
    # matplotlib fills columns, people read rows.
    by_column = [entry for column in range(columns) for entry in entries[column::columns]]
    figure.legend(
        handles=[Line2D([], [], label=label, **style) for label, style in by_column],
        loc="lower left",
        bbox_to_anchor=((LEFT - 6) / width, 0),
        ncols=columns,
        frameon=False,
        labelcolor=chart.theme.text,
        borderpad=0,
        handlelength=1.6,
        columnspacing=1.4,
        labelspacing=0.35,
        borderaxespad=0.1,
    )
