"""Charts as SVG: the same data give the same bytes, and missing data are named."""

import math
import re
from dataclasses import replace

import pytest

from observability.lib.charts import figure
from observability.lib.charts.figure import ROW_HEIGHT
from observability.lib.panels import BAD, GREY, PALETTE, YELLOW, Panel, Query
from tests.observability.lib.charts.support import (
    Recorded,
    Series,
    constant_series,
    draw,
    panel_of,
    plotted_paths,
    texts,
)

PANEL = panel_of(Query("a", "a"))
ONE_SERIES = Recorded(a=[constant_series(1.0)])
WITH_THRESHOLD = panel_of(Query("a", "a"), Query("limit", "limit", is_threshold=True))


def test_the_same_data_give_the_same_bytes() -> None:
    """No date and no random id is in the SVG."""
    svg = draw(PANEL, ONE_SERIES)
    assert draw(PANEL, ONE_SERIES) == svg
    assert "dc:date" not in svg


def test_text_and_grid_follow_the_scheme_of_the_page() -> None:
    """One picture serves light and dark pages."""
    svg = draw(PANEL, ONE_SERIES)
    assert "fill: var(--text)" in svg
    assert "stroke: var(--grid)" in svg
    assert "prefers-color-scheme: dark" in svg


@pytest.mark.parametrize("panel", [WITH_THRESHOLD, replace(WITH_THRESHOLD, axis_soft_max=1.0)])
@pytest.mark.parametrize(
    "answers",
    [{}, {"a": [constant_series(math.nan)]}, {"limit": [constant_series(1.0)]}],
    ids=["no series", "no value", "threshold alone"],
)
def test_missing_data_are_named(panel: Panel, answers: dict[str, list[Series]]) -> None:
    """A chart without values has a text instead; thresholds alone are not data."""
    assert "no data in this period" in texts(draw(panel, Recorded(**answers)))


def test_a_panel_may_be_empty_in_a_healthy_stack() -> None:
    """A panel that expects no data says that nothing happened."""
    shown = texts(draw(replace(PANEL, expects_data=False), Recorded()))
    assert shown[-1] == "no such events in this period"


def test_the_size_is_in_pixels() -> None:
    """Every chart has the same width, so that it is legible on a phone."""
    assert 'width="470"' in draw(PANEL, ONE_SERIES)


def test_the_largest_of_many_series_are_drawn() -> None:
    """The legend says how many smaller ones there are."""
    series = [constant_series(float(number), n=f"line-{number}") for number in range(14)]
    svg = draw(panel_of(Query("a", "{{n}}")), Recorded(a=series))
    assert {"line-13", "line-6", "line-5, and 5 smaller"} <= set(texts(svg))
    assert "line-4" not in texts(svg)


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


def test_a_legend_of_many_labels_makes_the_picture_higher() -> None:
    """Labels of half the width of the plot stand in one column, shorter ones beside each other."""
    panel = panel_of(Query("a", "{{n}}"))
    one, six, six_long = (
        draw(
            panel, Recorded(a=[constant_series(1.0, n=f"{number}" * width) for number in range(n)])
        )
        for n, width in ((1, 1), (6, 1), (6, 40))
    )
    assert height(one) == height(six) == height(six_long) - 5 * ROW_HEIGHT


def height(svg: str) -> float:
    """Return the height of a picture in pixels."""
    return float(svg.partition('height="')[2].partition('"')[0])


def test_labels_stay_text() -> None:
    """Labels are escaped, and dollars do not start a formula."""
    label = '<script>alert("1")</script> & $\\frac{1}$'
    svg = draw(panel_of(Query("a", "{{x}}")), Recorded(a=[constant_series(1.0, x=label)]))
    assert label in texts(svg)
    assert "<script" not in svg
