"""The axes of a chart: local time, and values with their unit."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from observability.lib.charts.series import Curve
from observability.lib.charts.values import text
from observability.lib.panels import Panel, Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAR = 4  # a threshold so many times above the data would flatten the lines if it were shown
MARGIN = 1.06  # the axis ends so many times above the highest value
MARKS = 4  # of the value axis, about
ROUND_STEPS = [1, 2, 2.5, 5, 10]
MINUTE = 60
ROUND_DURATIONS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


def draw_time_axis(axes: "Axes", days: list[float]) -> None:
    """Draw the axis of days since 1970 with marks that are round in the local time zone."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    zone = datetime.now(UTC).astimezone().tzinfo
    locator = AutoDateLocator(zone, minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
    labels = ConciseDateFormatter(locator, zone, show_offset=False)  # type: ignore[no-untyped-call]
    axes.set_xlim(days[0], days[-1])
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(labels)


def draw_value_axis(axes: "Axes", panel: Panel, curves: list[Curve]) -> None:
    """Draw the axis of values with round marks: of durations above a minute, else of numbers."""
    from matplotlib.ticker import MaxNLocator, MultipleLocator

    low, high = value_range(panel, curves)
    axes.set_ylim(low * MARGIN, high * MARGIN)
    axes.yaxis.set_major_locator(MaxNLocator(MARKS, steps=ROUND_STEPS))
    if panel.unit == Unit.SECONDS and high > MINUTE:
        steps = (step for step in ROUND_DURATIONS if step * MARKS >= high)
        axes.yaxis.set_major_locator(MultipleLocator(next(steps, high / MARKS)))
    axes.yaxis.set_major_formatter(lambda value, _: text(value, panel.unit))


def value_range(panel: Panel, curves: list[Curve]) -> tuple[float, float]:
    """Return the lowest and the highest value that the axis shows.

    It includes 0, so that heights can be compared, and thresholds unless they are far.
    """
    values = [0.0, panel.axis_soft_max or 0.0, panel.axis_max or 0.0]
    for entry in curves:
        if not entry.query.is_threshold:
            values += entry.samples
    peak = max(values)
    thresholds = [entry.peak for entry in curves if entry.query.is_threshold]
    near = [threshold for threshold in thresholds if threshold <= FAR * peak]
    return min(values), max([peak, *near]) or 1.0
