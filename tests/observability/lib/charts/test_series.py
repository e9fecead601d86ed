"""Series on the grid of a chart."""

import math

from observability.lib import charts
from observability.lib.panels import BLUE, Query
from tests.observability.lib.charts.support import (
    Recorded,
    constant_series,
    draw,
    panel_of,
    plotted_paths,
)


def test_missing_samples_interrupt_the_line() -> None:
    """So does NaN."""
    labels, samples = constant_series(1.0)
    samples[31:40] = [(moment, math.nan) for moment, _ in samples[31:40]]
    del samples[61:70]
    svg = draw(panel_of(Query("a", "a")), Recorded(a=[(labels, samples)]))
    [path] = plotted_paths(svg, BLUE)
    assert path.count("M") == 3


def test_each_query_is_sent_once_on_a_steady_grid() -> None:
    """Start and end are multiples of the step; the rate interval is never shorter than it."""
    prometheus = Recorded()
    panel = panel_of(Query("rate(x[$__rate_interval])", "a"))
    charts.svg(panel, prometheus, 1e6 + 1.5, 1e6 + 86_400)  # type: ignore[arg-type]
    [(expr, start, end, step)] = prometheus.requests
    assert (start % step, end % step) == (0, 0)
    assert step == 540
    assert expr == "rate(x[540s])"
