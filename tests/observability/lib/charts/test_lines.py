"""Lines, stacked areas and thresholds."""

import re

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
    series = constant_series(0.2, route="nodes.list")
    svg = draw(panel_of(Query("a", "{{route}} p50")), Recorded(a=[series]))
    assert {"nodes.list p50", "200 ms"} <= set(texts(svg))
    assert "Title" not in svg
    assert len(plotted_paths(svg, BLUE)) == 1
    assert len(svg) < 10_000


def test_thresholds_are_named_at_their_ends() -> None:
    """A threshold has its name beside it in its colour; close ones share a line of text."""
    prometheus = Recorded(
        a=[constant_series(1.0)],
        t1=[constant_series(2.0)],
        t2=[constant_series(2.01)],
        far=[constant_series(3600.0)],
    )
    svg = draw(panel_with_thresholds("t1", "t2", "far"), prometheus)
    counts = {name: texts(svg).count(name) for name in ("T1", "T2", "T1 · T2", "FAR ↑", "FAR")}
    assert counts == {"T1": 1, "T2": 1, "T1 · T2": 1, "FAR ↑": 1, "FAR": 0}
    assert len(re.findall(rf'<text style="[^"]*9px[^"]*fill: {BAD.lower()}"', svg)) == 1


def test_a_near_threshold_is_dashed_and_a_far_one_is_named() -> None:
    """A far threshold would flatten the data: an arrow in the legend says where it is."""
    prometheus = Recorded(
        a=[constant_series(1.0)], near=[constant_series(2.0)], far=[constant_series(3600.0)]
    )
    svg = draw(panel_with_thresholds("near", "far"), prometheus)
    assert {"NEAR", "FAR ↑"} <= set(texts(svg))
    assert len(plotted_paths(svg, BAD)) == 1
    assert re.search(rf'stroke-dasharray[^"]*stroke: {BAD.lower()}', svg)


def test_stacked_areas_reach_their_sum() -> None:
    """Values of a moment stand on top of each other, and the axis ends above their sum."""
    panel = panel_of(Query("a", "{{code}}"), unit=Unit.REQUESTS, stacked=True)
    lower = constant_series(3.0, code="200")
    upper = constant_series(2.0, code="500")
    assert {"0/s", "2/s", "4/s"} <= set(texts(draw(panel, Recorded(a=[lower, upper]))))
    assert "4/s" not in texts(draw(panel, Recorded(a=[lower])))
