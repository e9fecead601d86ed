"""The picture of a panel: matplotlib's figure with its axes, as SVG."""

import re
import threading
import time
from collections.abc import Mapping
from io import StringIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from observability.lib.charts.chart import Chart, chart_of
from observability.lib.charts.heatmap import draw_heatmap
from observability.lib.charts.layout import Layout
from observability.lib.charts.legend import draw_legend, legend_entries, legend_height
from observability.lib.charts.lines import draw_lines
from observability.lib.charts.series import fetch_panel, grid_between
from observability.lib.charts.themes import DARK, LIGHT
from observability.lib.charts.ticks import DAY, MINUTE, round_times
from observability.lib.panels import Kind, Panel
from observability.lib.prometheus import Prometheus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 72  # so that a point is a pixel
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "evara",
    "font.size": 11,
    "text.parse_math": False,
}
METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
TIME_LABEL_WIDTH = 100  # pixels
_matplotlib_lock = threading.Lock()  # matplotlib is not safe for threads


def svg(
    panel: Panel,
    prometheus: Prometheus,
    start: float,
    end: float,
    *,
    dark: bool,
    width: int = 640,
    colours: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the panel between two Unix times as SVG; raise Unreachable.

    Its variables must be bound, except `$__rate_interval`. The title is left out, because it
    stands in the page around the picture. `colours` are those that series keep in every chart,
    by their name in the legend.
    """
    grid = grid_between(start, end)
    series = fetch_panel(panel, prometheus, grid)
    chart = chart_of(panel, grid.times, series, colours, DARK if dark else LIGHT)
    with _matplotlib_lock:
        return draw(chart, width)


def draw(chart: Chart, width: int) -> str:
    """Return a chart as SVG; the same data give the same bytes."""
    # Imported here: it takes half a second, for which the inbox must not wait.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(SETTINGS)
    entries = legend_entries(chart)
    layout = Layout(width, legend_height(entries, width))
    figure = Figure(figsize=(width / DPI, layout.height / DPI), dpi=DPI)
    figure.patch.set_visible(False)
    axes = figure.add_axes(layout.plot)
    draw_frame(axes, chart)
    draw_time_axis(axes, chart.times, width)
    if not chart.has_data:
        draw_no_data(axes, chart)
    elif chart.panel.kind == Kind.HEATMAP:
        draw_heatmap(axes, chart)
    else:
        draw_lines(axes, chart)
        draw_legend(figure, chart, entries, width)
    return figure_as_svg(figure)


def draw_frame(axes: "Axes", chart: Chart) -> None:
    """Draw the line below the plot alone, and labels without marks."""
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(chart.theme.grid)
    axes.tick_params(colors=chart.theme.text, length=0, pad=5)


def draw_time_axis(axes: "Axes", times: list[float], width: int) -> None:
    """Draw the time axis with times that are round in the local time zone."""
    start, end = times[0], times[-1]
    offset = time.localtime(end).tm_gmtoff
    half_a_label = (end - start) / 40
    count = max(2, width // TIME_LABEL_WIDTH)
    local_marks = round_times(start + offset, end + offset - half_a_label, count)
    marks = [mark - offset for mark in local_marks]
    pattern = time_format(end - start)
    labels = [time.strftime(pattern, time.localtime(mark)) for mark in marks]
    axes.set_xlim(start, end)
    axes.set_xticks(marks, labels)


def time_format(span: float) -> str:
    """Return the format of times on an axis of that many seconds."""
    if span < 4 * MINUTE:
        return "%H:%M:%S"
    if span <= 2 * DAY:
        return "%H:%M"
    return "%d %b"


def draw_no_data(axes: "Axes", chart: Chart) -> None:
    """Write why there is nothing to draw: data are missing, or nothing happened."""
    reason = "no data in this span"
    if not chart.panel.expects_data:
        reason = "nothing to show: none of it happened in this span"
    axes.set_yticks([])
    place = axes.transAxes
    colour = chart.theme.text
    axes.text(0.5, 0.5, reason, transform=place, ha="center", va="center", color=colour)


def figure_as_svg(figure: "Figure") -> str:
    """Return the figure as an SVG element, in pixels and in the font of the page."""
    output = StringIO()
    figure.savefig(output, format="svg", metadata=METADATA)
    document = output.getvalue()
    element = document[document.index("<svg") :]
    element = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 system-ui, sans-serif", element)
    return re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', element, count=2)
