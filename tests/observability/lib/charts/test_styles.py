"""The colours of a chart's series."""

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


def test_series_of_one_colour_have_different_dashes() -> None:
    """A second series of a colour is dotted."""
    prometheus = Recorded(a=[constant_series(1.0, n="one"), constant_series(2.0, n="two")])
    svg = draw(panel_of(Query("a", "{{n}}")), prometheus, colours={"one": BAD, "two": BAD})
    plot = svg[: svg.index('id="legend_1"')]
    assert len(plotted_paths(svg, BAD)) == 2
    assert plot.count("stroke-dasharray") == 1
