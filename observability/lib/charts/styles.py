"""The colours and dashes of a chart's series."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from observability.lib.charts.series import Series
from observability.lib.panels import PALETTE

DASHES: tuple[Any, ...] = ("-", (0, (1, 1)), (0, (5, 1, 1, 1)))  # of series that share a colour
THRESHOLD_DASHES = "--"


def with_styles(series: list[Series], colours: Mapping[str, str]) -> list[Series]:
    """Return each series with its own colour, else the colour of its label, else the next one.

    Thresholds are dashed; the second and third series of a colour are dotted.
    """
    uses = Counter[str]()
    styled = []
    for number, entry in enumerate(series):
        next_colour = PALETTE[number % len(PALETTE)]
        colour = entry.query.colour or colours.get(entry.label) or next_colour
        dashes = DASHES[uses[colour] % len(DASHES)]
        if entry.query.is_threshold:
            dashes = THRESHOLD_DASHES
        uses[colour] += 1
        style = {"color": colour, "linestyle": dashes}
        styled.append(replace(entry, style=style))
    return styled
