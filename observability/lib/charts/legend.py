"""The legend below a chart."""

import math
from typing import TYPE_CHECKING

from observability.lib.charts.series import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_HEIGHT = 17  # pixels, as the two that follow
LETTER_WIDTH = 6.4
KEY_WIDTH = 38


def column_count(curves: list[Curve], width: int) -> int:
    """Return how many columns fit into that width in pixels."""
    longest = max(len(entry.label) for entry in curves)
    column_width = longest * LETTER_WIDTH + KEY_WIDTH
    return max(1, int(width // column_width))


def legend_height(curves: list[Curve], width: int) -> int:
    """Return the height of the legend in pixels."""
    if not curves:
        return 0
    rows = math.ceil(len(curves) / column_count(curves, width))
    return rows * ROW_HEIGHT


def draw_legend(axes: "Axes", curves: list[Curve], width: int, below: float) -> None:
    """Draw the labels of the lines under the plot; `below` is in heights of the plot."""
    axes.legend(
        handles=axes.lines,
        loc="upper left",
        bbox_to_anchor=(0, -below),
        ncols=column_count(curves, width),
    )
