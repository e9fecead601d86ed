"""Heat maps of histograms."""

from observability.lib.panels import Kind, Query
from tests.observability.lib.charts.support import Recorded, constant_series, draw, panel_of, texts


def test_a_histogram_is_drawn_by_bucket() -> None:
    """Cumulative buckets become cells; edges are labelled, and the last one is open."""
    counts = {"0.1": 5.0, "0.2": 5.0, "1.0": 9.0, "+Inf": 10.0}
    buckets = [constant_series(count, le=edge) for edge, count in counts.items()]
    svg = draw(panel_of(Query("a", "{{le}}"), kind=Kind.HEATMAP), Recorded(a=buckets))
    assert {"100 ms", "200 ms", "1 s", "more"} <= set(texts(svg))
    assert svg.count("<image") == 1
