"""Quantiles of histograms: linear within a bucket, and limits at both ends."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.load.buckets import Buckets
from tests.observability.load.support import INF


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 0.1), (0.25, 0.05), (0.75, 0.55), (0.9, 0.82), (0.95, 0.91), (1.0, 1.0)],
)
def test_quantiles_are_linear_within_a_bucket(share: float, expected: float) -> None:
    """Events are spread evenly within their bucket, as histogram_quantile assumes."""
    assert Buckets((0.1, 1.0, INF), (5, 10, 10)).quantile(share) == pytest.approx(expected)


def test_quantiles_at_the_ends() -> None:
    """Without events the quantile is None; beyond the last finite edge it is that edge."""
    assert Buckets((0.1, INF), (0, 0)).quantile(0.95) is None
    assert Buckets((), ()).quantile(0.95) is None
    assert Buckets((0.1, 1.0, INF), (1, 1, 100)).quantile(0.95) == 1.0


@given(
    st.lists(st.floats(0.0001, 20), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_a_quantile_is_in_the_bucket_of_its_event(times: list[float], share: float) -> None:
    """The value and the true one lie between the same edges, which `edges_around` knows."""
    edges = (0.005, 0.05, 0.2, 1.0, 5.0, INF)
    buckets = Buckets(edges, tuple(sum(t <= edge for t in times) for edge in edges))
    true = sorted(times)[math.ceil(share * len(times)) - 1]
    low, high = buckets.edges_around(share * len(times))
    assert low < true <= high
    assert low <= (buckets.quantile(share) or 0) <= high * (1 + 1e-9)


def test_a_rank_beyond_all_events_has_no_limits() -> None:
    """The limits of a rank beyond all events are 0 and infinity."""
    assert Buckets((0.1, INF), (3, 3)).edges_around(4) == (0.0, INF)
    assert Buckets((), ()).edges_around(1) == (0.0, INF)
