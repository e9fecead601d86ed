"""Charts: a panel's lines or heat map over a span of time, drawn as SVG from Prometheus.

The console and the load report show these pictures; a picture's title stands in the page around it.
"""

import math
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from observability.lib.panels import (
    BAD,
    BLUE,
    GOOD,
    GREY,
    PALETTE,
    PINK,
    SKY,
    WARN,
    YELLOW,
    Kind,
    Panel,
    Query,
    Unit,
)
from observability.lib.prometheus import Prometheus

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT, LEFT, RIGHT, TOP, BOTTOM, LEGEND_ROW, LETTER, SMALL = 176, 58, 20, 8, 24, 17, 6.4, 9  # pixels
POINTS, SHORTEST_STEP, SHORTEST_RATE = 160, 5.0, 60.0
LISTED = 9  # lines that the legend names; the largest come first
FAR = 4  # a limit so many times above the data is named, not drawn: it would flatten the lines
LEAST = {
    Unit.RATIO: 0.01,
    Unit.SECONDS: 0.01,
    Unit.BYTES: 1e6,
}  # no axis ends below, so that noise looks small
TIMES = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
THOUSANDS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
CLOCK = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10_800,
    21_600,
    43_200,
    86_400,
    172_800,
    604_800,
)
DASHES: tuple[Any, ...] = (
    "-",
    (0, (1, 1)),
    (0, (5, 1, 1, 1)),
)  # for the second and third round through the palette
ON_WHITE, ON_BLACK = (
    (*PALETTE[:-1], GREY),
    (SKY, WARN, GOOD, PINK, YELLOW, BAD, BLUE),
)  # what can be seen best comes first
_one_at_a_time = threading.Lock()  # matplotlib is not made for threads


@dataclass(frozen=True)
class Line:
    """One series on the grid of times; NaN where there is no sample."""

    label: str
    query: Query
    labels: dict[str, str]
    values: list[float]

    @property
    def known(self) -> list[float]:
        return [value for value in self.values if not math.isnan(value)]

    @property
    def peak(self) -> float:
        return max(self.known, default=-math.inf)


Drawn = tuple[Line, dict[str, Any]]  # with how it looks


def text(value: float | None, unit: Unit) -> str:
    """Return a value as people write it: 200 ms, 1.2 k, 35 %, 64 MB."""
    if value is None or not math.isfinite(value):
        return "–"
    if unit == Unit.RATIO:
        return f"{value * 100:.4g} %"
    if unit == Unit.SECONDS:
        size, name = next(
            (step for step in TIMES if abs(value) >= step[0] * 0.9995),
            TIMES[-1] if value else TIMES[3],
        )
        return f"{value / size:.3g} {name}"
    size, name = next((step for step in THOUSANDS if abs(value) >= step[0]), THOUSANDS[-1])
    ending = {Unit.BYTES: "B", Unit.TIMES: "×", Unit.REQUESTS: "/s", Unit.PER_SECOND: "/s"}.get(
        unit, ""
    )
    digits = 3 if abs(value) >= 1 else 2
    return f"{value / size:.{digits}g}{' ' if name or unit == Unit.BYTES else ''}{name}{ending}"


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

    Its variables must be bound, except `$__rate_interval`.

    `colours` are those that series keep in every chart, by their name in the legend.
    """
    step = math.ceil(max((end - start) / POINTS, 1) / SHORTEST_STEP) * SHORTEST_STEP
    first = math.floor(
        start / step
    )  # on multiples of the step, so that the same moment is the same point in every picture
    grid = [moment * step for moment in range(first, max(math.floor(end / step), first + 1) + 1)]
    asked = panel.bind(__rate_interval=f"{max(SHORTEST_RATE, step):.0f}s")
    lines = [line for query in asked.queries for line in ask(query, prometheus, grid, step)]
    with _one_at_a_time:
        return draw(asked, lines, grid, colours, dark=dark, width=width)


def ask(query: Query, prometheus: Prometheus, grid: list[float], step: float) -> Iterator[Line]:
    """Yield the series of one query, in the order of their labels."""
    found = prometheus.query_range(query.expr, grid[0], grid[-1], step)
    for labels, samples in sorted(found, key=lambda series: sorted(series[0].items())):
        known = {round(moment / step): value for moment, value in samples if math.isfinite(value)}
        label = legend_text(query.legend, labels)
        yield Line(
            label, query, labels, [known.get(round(moment / step), math.nan) for moment in grid]
        )


def draw(
    panel: Panel,
    lines: list[Line],
    grid: list[float],
    colours: Mapping[str, str],
    *,
    dark: bool,
    width: int,
) -> str:
    """Return one chart as SVG; the same data give the same bytes."""
    # Imported here: it takes half a second, for which the inbox must not wait.
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    mpl.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "evara", "font.size": 11, "text.parse_math": False}
    )
    ink, faint = ("#c9d1d9", "#30363d") if dark else ("#3d444d", "#e4e7eb")
    data, limits = (
        [line for line in lines if not line.query.is_threshold],
        [line for line in lines if line.query.is_threshold],
    )
    peak = max(
        (max(line.peak, panel.axis_soft_max or line.peak) for line in data), default=-math.inf
    )
    drawn, edges = (
        list(zip(some, looks(some, colours, dark=dark), strict=True)) for some in (data, limits)
    )
    keys = legend(drawn, edges, peak) if peak > -math.inf and panel.kind == Kind.LINES else []
    columns = max(
        1,
        min(
            len(keys),
            int(
                (width - LEFT) // (max((len(label) for label, _ in keys), default=1) * LETTER + 38)
            ),
        ),
    )
    height = TOP + PLOT + BOTTOM + math.ceil(len(keys) / columns) * LEGEND_ROW + 4 * bool(keys)
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    axes = figure.add_axes(
        (
            LEFT / width,
            (height - TOP - PLOT) / height,
            (width - LEFT - RIGHT) / width,
            PLOT / height,
        )
    )
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(faint)
    axes.tick_params(colors=ink, length=0, pad=5)
    axes.set_xlim(grid[0], grid[-1])
    local = time.localtime(grid[-1]).tm_gmtoff
    half_a_label = (grid[-1] - grid[0]) / 40
    hours = [
        tick - local
        for tick in ticks(
            grid[0] + local, grid[-1] + local - half_a_label, max(2, width // 100), clock=True
        )
    ]
    pattern = (
        "%H:%M:%S"
        if grid[-1] - grid[0] < 240
        else "%H:%M"
        if grid[-1] - grid[0] <= 2 * 86_400
        else "%d %b"
    )
    axes.set_xticks(hours, [time.strftime(pattern, time.localtime(hour)) for hour in hours])
    if peak == -math.inf:
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, nothing(panel), transform=axes.transAxes, ha="center", va="center", color=ink
        )
    elif panel.kind == Kind.HEATMAP:
        cells(axes, data, grid, panel.unit, dark=dark)
    else:
        axes.grid(axis="y", color=faint, linewidth=0.8)
        curves(panel, axes, drawn, edges, grid)
        rows = [
            key for column in range(columns) for key in keys[column::columns]
        ]  # matplotlib fills columns, people read rows
        handles = [Line2D([], [], label=label, **look) for label, look in rows]
        figure.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=((LEFT - 6) / width, 0),
            ncols=columns,
            frameon=False,
            labelcolor=ink,
            borderpad=0,
            handlelength=1.6,
            columnspacing=1.4,
            labelspacing=0.35,
            borderaxespad=0.1,
        )
    out = StringIO()
    figure.savefig(
        out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    made = out.getvalue()
    made = re.sub(
        r"font: ([\d.]+px) [^;\"]+", r"font: \1 system-ui, sans-serif", made[made.index("<svg") :]
    )
    return re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', made, count=2)


def nothing(panel: Panel) -> str:
    """Return why there is nothing to draw: data are missing, or nothing happened."""
    return (
        "no data in this span"
        if panel.expects_data
        else "nothing to show: none of it happened in this span"
    )


def looks(lines: list[Line], colours: Mapping[str, str], *, dark: bool) -> list[dict[str, Any]]:
    """Return the style of each line: its own colour or the next one, and its dashes.

    Thresholds are dashed; the second and third line of a colour are dotted.
    """
    order, used = ON_BLACK if dark else ON_WHITE, Counter[str]()
    styles = []
    for line in lines:
        own = line.query.colour or colours.get(line.label) or order[used.total() % len(order)]
        colour = GREY if own == YELLOW and not dark else own  # yellow on white cannot be seen
        dash = "--" if line.query.is_threshold else DASHES[used[colour] % len(DASHES)]
        styles.append(
            {
                "color": colour,
                "linestyle": dash,
                "linewidth": 1.2 if line.query.is_threshold else 1.6,
            }
        )
        used[colour] += 1
    return styles


def legend(
    drawn: list[Drawn], limits: list[Drawn], peak: float
) -> list[tuple[str, dict[str, Any]]]:
    """Return the largest lines, how many more there are, and the thresholds.

    An arrow marks a threshold that is too far up to draw.
    """
    first = sorted(drawn, key=lambda item: -item[0].peak)[:LISTED] if len(drawn) > LISTED else drawn
    more = [(f"and {len(drawn) - LISTED} more", {"color": "none"})] if len(drawn) > LISTED else []
    marked = {line.label + (" ↑" if line.peak > FAR * peak else ""): look for line, look in limits}
    return [*((line.label, look) for line, look in first), *more, *marked.items()]


def curves(
    panel: Panel, axes: "Axes", drawn: list[Drawn], limits: list[Drawn], grid: list[float]
) -> None:
    """Draw lines or stacked areas, with the thresholds that are near."""
    peak = max(panel.axis_soft_max or -math.inf, *(line.peak for line, _ in drawn))
    near = [(line, look) for line, look in limits if line.peak <= FAR * peak]
    if panel.stacked:
        heights = [
            [0.0 if math.isnan(value) else value for value in line.values] for line, _ in drawn
        ]
        axes.stackplot(
            grid, *heights, colors=[look["color"] for _, look in drawn], alpha=0.8, linewidth=0
        )
        peak = max(map(sum, zip(*heights, strict=True)))
    for line, look in near if panel.stacked else [*drawn, *near]:
        axes.plot(
            grid, line.values, marker="o" if len(line.known) == 1 else "", markersize=3, **look
        )
    low = min(0.0, *(value for line, _ in drawn for value in line.known))
    high = max(
        panel.axis_max or 0.0, peak, LEAST.get(panel.unit, 0.1), *(line.peak for line, _ in near)
    )
    axes.set_ylim(low * 1.06, high * 1.06)
    marks = ticks(low, high * 1.001, 4, clock=panel.unit == Unit.SECONDS and high > 60)
    axes.set_yticks(marks, [text(mark, panel.unit) for mark in marks])
    name_limits(axes, near, 1.06 * (high - min(low, 0.0)) / PLOT)


def name_limits(axes: "Axes", limits: list[Drawn], pixel: float) -> None:
    """Write the names of thresholds above the right end of their lines.

    `pixel` is the height of a pixel in values; names that would touch share a line of text.
    """
    groups: list[list[Drawn]] = []
    for limit in sorted(limits, key=lambda item: item[0].peak):
        near = (
            bool(groups) and limit[0].known[-1] - groups[-1][0][0].known[-1] < (SMALL + 1) * pixel
        )
        groups = [*groups[:-1], [*groups[-1], limit]] if near else [*groups, [limit]]
    for group in groups:
        line, look = group[0]
        names = " · ".join(line.label for line, _ in group)
        height = line.known[-1] + 2 * pixel
        axes.text(
            0.995,
            height,
            names,
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="bottom",
            size=SMALL,
            color=look["color"],
        )


def cells(axes: "Axes", data: list[Line], grid: list[float], unit: Unit, *, dark: bool) -> None:
    """Draw a column for each moment and a row for each bucket; stronger colours count more."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    rows = sorted(data, key=lambda line: float(line.labels["le"]))
    below = [
        [0.0] * len(grid),
        *(line.values for line in rows),
    ]  # buckets count everything up to their edge
    counts = [
        [b - a if b - a > 0 else math.nan for a, b in zip(*pair, strict=True)]
        for pair in pairwise(below)
    ]
    used = [order for order, row in enumerate(counts) if not all(map(math.isnan, row))] or [0]
    first, last = max(used[0] - 1, 0), min(used[-1] + 1, len(rows) - 1)
    colours = LinearSegmentedColormap.from_list(
        "answers", ["#10364f", BLUE, SKY, YELLOW] if dark else ["#d6ebf8", SKY, BLUE, "#00263d"]
    )
    axes.imshow(
        counts,
        origin="lower",
        aspect="auto",
        interpolation="none",
        cmap=colours,
        norm=PowerNorm(0.5, vmin=0),
        extent=(grid[0], grid[-1], 0, len(rows)),
    )
    axes.set_ylim(first, last + 1)
    marks = range(first + 1, last + 2, max(1, round((last - first) / 6)))
    edges = [float(rows[mark - 1].labels["le"]) for mark in marks]
    axes.set_yticks(
        list(marks), ["more" if math.isinf(edge) else text(edge, unit) for edge in edges]
    )


def ticks(low: float, high: float, most: int, *, clock: bool) -> list[float]:
    """Return about `most` round numbers from low to high; with `clock`, round times."""
    rough = (high - low) / most
    if clock:
        step = float(next((size for size in CLOCK if size >= rough), CLOCK[-1]))
    else:
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(
            power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999
        )
    return [order * step for order in range(math.ceil(low / step), math.floor(high / step) + 1)]


def legend_text(legend: str, labels: dict[str, str]) -> str:
    """Return the legend with each `{{label}}` replaced by the series' value, or by nothing."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)
