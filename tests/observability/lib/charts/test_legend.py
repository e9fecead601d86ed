"""The legend below a chart."""

from observability.lib.panels import Query
from tests.observability.lib.charts.support import Recorded, constant_series, draw, panel_of, texts


def test_the_largest_of_many_series_are_listed() -> None:
    """The legend names the largest, and says how many more there are."""
    series = [constant_series(float(number), n=f"line-{number}") for number in range(14)]
    shown = texts(draw(panel_of(Query("a", "{{n}}")), Recorded(a=series)))
    assert {"line-13", "line-5", "and 5 more"} <= set(shown)
    assert "line-4" not in shown


def test_labels_stay_text() -> None:
    """A label is shown as it is: no markup, and dollars start no formula."""
    label = '<script>alert("1")</script> & $\\frac{1}$'
    svg = draw(panel_of(Query("a", "{{x}}")), Recorded(a=[constant_series(1.0, x=label)]))
    assert label in texts(svg)
    assert "<script" not in svg
