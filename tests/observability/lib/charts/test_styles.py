"""The colours of a chart's series."""

import re

from observability.lib.charts import figure
from observability.lib.panels import BAD, GREY, PALETTE, YELLOW, Query
from tests.observability.lib.charts.support import (
    Recorded,
    constant_series,
    draw,
    panel_of,
    plotted_paths,
)


def test_a_series_keeps_its_colour_in_every_chart() -> None:
    """A colour by name replaces the one of the palette."""
    panel = panel_of(Query("a", "{{n}}"))
    prometheus = Recorded(a=[constant_series(1.0, n="one"), constant_series(2.0, n="two")])
    svg = draw(panel, prometheus, colours={"one": BAD})
    assert [len(plotted_paths(svg, colour)) for colour in (BAD, *PALETTE[:2])] == [1, 0, 1]


def test_yellow_is_grey_on_a_light_page() -> None:
    """Yellow cannot be seen on white."""
    prometheus = Recorded(a=[constant_series(1.0, n="one")])
    svg = draw(panel_of(Query("a", "{{n}}")), prometheus, colours={"one": YELLOW})
    assert len(plotted_paths(svg, "var(--yellow)")) == 1
    light, dark = svg.split("prefers-color-scheme: dark")
    assert f"--yellow: {GREY}" in light
    assert f"--yellow: {YELLOW}" in dark


def test_the_eighth_series_is_dotted() -> None:
    """The palette has seven colours; a series that shares one has other dashes."""
    series = [constant_series(float(number), n=str(number)) for number in range(8)]
    svg = draw(panel_of(Query("a", "{{n}}")), Recorded(a=series))
    plot = svg[: svg.index('id="legend_1"')]
    assert len(plotted_paths(svg, PALETTE[0])) == 2
    assert plot.count("stroke-dasharray") == 1


def test_the_style_sheet_has_the_palette() -> None:
    """Colours of charts are those of Grafana's boards."""
    colours = re.findall(r"'([0-9A-F]{6})'", figure.LOOK.read_text(encoding="utf-8"))
    assert tuple(f"#{colour}" for colour in colours) == PALETTE
