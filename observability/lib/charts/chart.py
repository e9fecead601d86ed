"""The model of a chart: what is drawn, and in which colours and dashes."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from observability.lib.charts.series import Series
from observability.lib.charts.themes import Theme
from observability.lib.panels import Panel

FAR = 4  # a threshold so many times above the data would flatten the lines if it were drawn
THRESHOLD_STYLE = {"linestyle": "--", "linewidth": 1.2}
DASHES: tuple[Any, ...] = ("-", (0, (1, 1)), (0, (5, 1, 1, 1)))  # of series that share a colour


@dataclass(frozen=True)
class Chart:
    """A panel with its series at the given Unix times."""

    panel: Panel
    times: list[float]
    theme: Theme
    data: list[Series]
    thresholds: list[Series]

    @property
    def has_data(self) -> bool:
        """Return whether any series has a value; thresholds do not count."""
        return any(series.samples for series in self.data)

    @property
    def peak(self) -> float:
        """Return the height that the value axis needs at least."""
        soft_max = self.panel.axis_soft_max or -math.inf
        peaks = [series.peak for series in self.data]
        return max([soft_max, *peaks])

    def is_far(self, threshold: Series) -> bool:
        """Return whether the threshold is too far above the data to be drawn."""
        return threshold.peak > FAR * self.peak

    @property
    def near_thresholds(self) -> list[Series]:
        """Return the thresholds that are drawn."""
        return [series for series in self.thresholds if series.samples and not self.is_far(series)]


def chart_of(
    panel: Panel, times: list[float], series: list[Series], colours: Mapping[str, str], theme: Theme
) -> Chart:
    """Return the chart of a panel's series; `colours` are fixed colours by label."""
    data = [entry for entry in series if not entry.query.is_threshold]
    thresholds = [entry for entry in series if entry.query.is_threshold]
    styled_data = with_styles(data, colours, theme)
    return Chart(panel, times, theme, styled_data, with_styles(thresholds, colours, theme))


def with_styles(series: list[Series], colours: Mapping[str, str], theme: Theme) -> list[Series]:
    """Return each series with its own colour or the next of the palette.

    Thresholds are dashed; the second and third series of a colour are dotted.
    """
    uses = Counter[str]()
    styled = []
    for number, entry in enumerate(series):
        next_colour = theme.palette[number % len(theme.palette)]
        chosen = entry.query.colour or colours.get(entry.label) or next_colour
        colour = theme.substitutes.get(chosen, chosen)
        dashes = DASHES[uses[colour] % len(DASHES)]
        uses[colour] += 1
        style = {"color": colour, "linestyle": dashes, "linewidth": 1.6}
        if entry.query.is_threshold:
            style |= THRESHOLD_STYLE
        styled.append(replace(entry, style=style))
    return styled
