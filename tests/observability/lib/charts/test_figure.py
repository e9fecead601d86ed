"""Charts as SVG: the same data give the same bytes, and missing data are named."""

import math
from dataclasses import replace

import pytest

from observability.lib.panels import Panel, Query
from tests.observability.lib.charts.support import (
    Recorded,
    Series,
    constant_series,
    draw,
    panel_of,
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
    assert "no data in this span" in texts(draw(panel, Recorded(**answers)))


def test_a_panel_may_be_empty_in_a_healthy_stack() -> None:
    """A panel that expects no data says that nothing happened."""
    shown = texts(draw(replace(PANEL, expects_data=False), Recorded()))
    assert shown[-1] == "nothing to show: none of it happened in this span"


def test_the_size_is_in_pixels() -> None:
    """Every chart has the same width, so that it is legible on a phone."""
    assert 'width="470"' in draw(PANEL, ONE_SERIES)


def test_the_largest_of_many_series_are_drawn() -> None:
    """The legend says how many smaller ones there are."""
    series = [constant_series(float(number), n=f"line-{number}") for number in range(14)]
    svg = draw(panel_of(Query("a", "{{n}}")), Recorded(a=series))
    assert {"line-13", "line-6", "line-5, and 5 smaller"} <= set(texts(svg))
    assert "line-4" not in texts(svg)
