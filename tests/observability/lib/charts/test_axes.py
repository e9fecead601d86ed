"""Lines, thresholds and the axes."""

import re
import time

import pytest

from observability.lib.panels import BAD, BLUE, Panel, Query, Unit
from tests.observability.lib.charts.support import (
    Recorded,
    constant_series,
    draw,
    panel_of,
    plotted_paths,
    texts,
)


def panel_with_thresholds(*names: str) -> Panel:
    """Return a panel of one series with thresholds, whose labels are capitals."""
    thresholds = (Query(name, name.upper(), is_threshold=True, colour=BAD) for name in names)
    return panel_of(Query("a", "a"), *thresholds)


def test_a_line_is_drawn_with_its_legend_and_unit() -> None:
    """Labels fill the legend, the axis has the panel's unit, and the title is left out."""
    series = constant_series(0.2, route="orders.list")
    svg = draw(panel_of(Query("a", "{{route}} p50")), Recorded(a=[series]))
    assert {"orders.list p50", "200 ms"} <= set(texts(svg))
    assert "Title" not in svg
    assert len(plotted_paths(svg, BLUE)) == 1
    assert len(svg) < 10_000


def test_a_far_threshold_does_not_flatten_the_lines() -> None:
    """A near one is shown and dashed; a far one is above the axis, and the legend names both."""
    prometheus = Recorded(
        a=[constant_series(1.0)], near=[constant_series(2.0)], far=[constant_series(3600.0)]
    )
    svg = draw(panel_with_thresholds("near", "far"), prometheus)
    assert {"NEAR", "FAR", "2 s"} <= set(texts(svg))
    assert "1 h" not in texts(svg)
    assert re.search(rf'stroke-dasharray[^"]*stroke: {BAD.lower()}', svg)


def test_numbers_are_marked_at_round_steps() -> None:
    """Steps are 1, 2, 2.5 or 5 times a power of ten, and 0 is on the axis."""
    svg = draw(panel_of(Query("a", "a"), unit=Unit.NUMBER), Recorded(a=[constant_series(0.9)]))
    assert {"0", "0.25", "0.5", "0.75"} <= set(texts(svg))


def test_values_below_0_are_on_the_axis() -> None:
    """A budget may be overspent."""
    svg = draw(panel_of(Query("a", "a"), unit=Unit.NUMBER), Recorded(a=[constant_series(-8.0)]))
    assert {"0", "-5"} <= set(texts(svg))


def test_durations_are_marked_at_times_of_the_clock() -> None:
    """A quarter of five hours is not a round time; two hours are."""
    svg = draw(panel_of(Query("a", "a")), Recorded(a=[constant_series(18_000.0)]))
    assert {"0 s", "2 h", "4 h"} <= set(texts(svg))


@pytest.mark.parametrize(("zone", "shown"), [("UTC", "13:50"), ("Asia/Kolkata", "19:20")])
def test_times_are_those_of_the_local_zone(
    monkeypatch: pytest.MonkeyPatch, zone: str, shown: str
) -> None:
    """Marks are round in the time zone of the machine."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert shown in texts(draw(panel_of(Query("a", "a")), Recorded(a=[constant_series(1.0)])))
    finally:
        monkeypatch.undo()
        time.tzset()
