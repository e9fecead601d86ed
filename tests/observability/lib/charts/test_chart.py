"""The colours of a chart's series."""

from observability.lib.panels import BAD, GREY, YELLOW, Query
from tests.observability.lib.charts.support import (
    Recorded,
    constant_series,
    draw,
    panel_of,
    plotted_paths,
)


def test_a_series_keeps_its_colour_in_every_chart() -> None:
    """Colours by name are used; yellow becomes grey on white, where it cannot be seen."""
    panel = panel_of(Query("a", "{{n}}"))
    prometheus = Recorded(a=[constant_series(1.0, n="one"), constant_series(2.0, n="two")])
    colours = {"one": BAD, "two": YELLOW}
    light = draw(panel, prometheus, colours=colours)
    dark = draw(panel, prometheus, dark=True, colours=colours)
    assert [len(plotted_paths(light, colour)) for colour in (BAD, GREY, YELLOW)] == [1, 1, 0]
    assert [len(plotted_paths(dark, colour)) for colour in (BAD, GREY, YELLOW)] == [1, 0, 1]
