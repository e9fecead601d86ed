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
    """No date and no random id is in the SVG; light and dark differ."""
    svg = draw(PANEL, ONE_SERIES)
    assert draw(PANEL, ONE_SERIES) == svg
    assert draw(PANEL, ONE_SERIES, dark=True) != svg
    assert "dc:date" not in svg


@pytest.mark.parametrize("panel", [WITH_THRESHOLD, replace(WITH_THRESHOLD, axis_soft_max=1.0)])
@pytest.mark.parametrize(
    "answers",
    [{}, {"a": [constant_series(math.nan)]}, {"limit": [constant_series(1.0)]}],
    ids=["no series", "no value", "threshold alone"],
)
def test_missing_data_are_named(panel: Panel, answers: dict[str, list[Series]]) -> None:
    """No series, or series without a value, give words; thresholds alone are no data."""
    assert "no data in this span" in texts(draw(panel, Recorded(**answers)))


def test_a_panel_may_be_empty_in_a_healthy_stack() -> None:
    """A panel that expects no data says that nothing happened."""
    shown = texts(draw(replace(PANEL, expects_data=False), Recorded()))
    assert shown[-1] == "nothing to show: none of it happened in this span"


@pytest.mark.parametrize("width", [320, 640, 1280])
def test_the_chart_has_the_width_that_was_asked_for(width: int) -> None:
    """Width is in pixels."""
    assert f'width="{width}"' in draw(PANEL, ONE_SERIES, width=width)
