"""The legend below a chart."""

from observability.lib.charts.legend import ROW_HEIGHT
from observability.lib.panels import Query
from tests.observability.lib.charts.support import Recorded, constant_series, draw, panel_of, texts


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
