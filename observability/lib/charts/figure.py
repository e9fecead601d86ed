"""The picture of a panel: matplotlib's figure with its axes and its legend, as SVG."""

import math
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from observability.lib.charts.axes import draw_time_axis, draw_value_axis
from observability.lib.charts.series import Curve, Grid, fetch_panel, grid_between
from observability.lib.json_object import Json
from observability.lib.panels import GREY, YELLOW, Panel
from observability.lib.prometheus import ServicePrometheus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOK = Path(__file__).with_name("chart.mplstyle")
WIDTH = 470  # pixels, legible on a phone
PLOT_HEIGHT = 176
PLOT_WIDTH = 392
LEFT = 58  # of the plot, as the two that follow
TOP = 8
BOTTOM = 24
DPI = 72  # so that a point is a pixel
ROW_HEIGHT = 17  # of the legend
LETTER_WIDTH = 6.4
KEY_WIDTH = 38
SECONDS_OF_DAY = 86_400  # matplotlib's times are days since 1970
MOST = 9  # series that are drawn
METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
SCHEMED = {"#3d444d": "--text", "#e4e7eb": "--grid", YELLOW.lower(): "--yellow"}
SCHEMES = (
    f":root {{--text: #3d444d; --grid: #e4e7eb; --yellow: {GREY}}} "
    "@media (prefers-color-scheme: dark) "
    f"{{:root {{--text: #c9d1d9; --grid: #30363d; --yellow: {YELLOW}}}}} "
)
CSS = "*{"  # how matplotlib's style sheet begins
_matplotlib_lock = threading.Lock()  # matplotlib is not safe for threads


def svg(
    panel: Panel,
    prometheus: ServicePrometheus,
    start: float,
    end: float,
    colours: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the panel between two Unix times as SVG; raise Unreachable.

    Its variables must be bound, except `$__rate_interval`. The title is left out, because it
    stands in the page around the picture. `colours` are those that series keep in every chart,
    by their name in the legend.
    """
    grid = grid_between(start, end)
    curves = fetch_panel(panel, prometheus, grid)
    with _matplotlib_lock:
        return draw(panel, grid, curves, colours)


def draw(panel: Panel, grid: Grid, curves: list[Curve], colours: Mapping[str, str]) -> str:
    """Return a chart as SVG; the same data give the same bytes."""
    # Imported here: it takes half a second, for which the inbox must not wait.
    from matplotlib import style
    from matplotlib.figure import Figure

    style.use(LOOK)
    shown = select_curves(curves)
    columns = column_count(shown, PLOT_WIDTH)
    below = BOTTOM + math.ceil(len(shown) / columns) * ROW_HEIGHT
    height = TOP + PLOT_HEIGHT + below
    figure = Figure(figsize=(WIDTH / DPI, height / DPI))
    plot = (LEFT / WIDTH, below / height, PLOT_WIDTH / WIDTH, PLOT_HEIGHT / height)
    axes = figure.add_axes(plot)
    days = [moment / SECONDS_OF_DAY for moment in grid]
    draw_time_axis(axes, days)
    if shown:
        draw_lines(axes, days, shown, colours)
        draw_value_axis(axes, panel, shown)
        place = (0, -BOTTOM / PLOT_HEIGHT)
        axes.legend(handles=axes.lines, loc="upper left", bbox_to_anchor=place, ncols=columns)
    else:
        draw_no_data(axes, panel)
    return figure_as_svg(figure)


def column_count(curves: list[Curve], width: int) -> int:
    """Return how many columns of the legend fit into that width in pixels."""
    longest = max((len(curve.label) for curve in curves), default=0)
    return max(1, int(width / (longest * LETTER_WIDTH + KEY_WIDTH)))


def select_curves(curves: list[Curve]) -> list[Curve]:
    """Return the largest series and each threshold once; nothing without data."""
    data = [entry for entry in curves if not entry.query.is_threshold and entry.samples]
    if not data:
        return []
    thresholds = {entry.label: entry for entry in curves if entry.query.is_threshold}
    if len(data) > MOST:
        data.sort(key=lambda entry: -entry.peak)
        last = data[MOST - 1]
        data[MOST - 1 :] = [replace(last, label=f"{last.label}, and {len(data) - MOST} smaller")]
    return [*data, *thresholds.values()]


def draw_lines(
    axes: "Axes", days: list[float], curves: list[Curve], colours: Mapping[str, str]
) -> None:
    """Draw lines, dashed for thresholds; a series with a single sample is a dot."""
    for curve in curves:
        style: Json = {}
        if len(curve.samples) == 1:
            style["marker"] = "o"
        colour = curve.query.colour or colours.get(curve.label)
        if colour:
            style["color"] = colour
        if curve.query.is_threshold:
            style["linestyle"] = "--"
        axes.plot(days, curve.values, label=curve.label, **style)


def draw_no_data(axes: "Axes", panel: Panel) -> None:
    """Write why there is nothing to draw: data are missing, or nothing happened."""
    reason = "no data in this period"
    if not panel.expects_data:
        reason = "no such events in this period"
    axes.set_yticks([])
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center")


def figure_as_svg(figure: "Figure") -> str:
    """Return the figure as an SVG element, in pixels, in the font and the scheme of the page."""
    output = StringIO()
    figure.savefig(output, format="svg", metadata=METADATA)
    document = output.getvalue()
    element = document[document.index("<svg") :]
    element = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 system-ui, sans-serif", element)
    element = re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', element, count=2)
    for colour, variable in SCHEMED.items():
        element = element.replace(colour, f"var({variable})")
    return element.replace(CSS, SCHEMES + CSS, 1)
