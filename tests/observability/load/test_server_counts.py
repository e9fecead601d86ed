"""The server's side of a load run: differences of counters, and resets."""

from typing import Any

import pytest

from observability.lib.http import Unreachable
from observability.load import server_counts
from observability.load.buckets import Buckets
from observability.load.scrapes import Counters, Sample
from observability.load.server_counts import Increase
from tests.observability.load.support import INF, FakePrometheus


def sample(at: float, **codes: float) -> Sample:
    """Return the counters at a time, with counts of nodes.list by code as `c200=7`."""
    counters: Counters = {kind: {} for kind in ("buckets", "probes", "total", "bad")}
    counters["codes"] = {("nodes.list", code[1:]): count for code, count in codes.items()}
    return Sample(at, counters)


def test_counts_are_differences() -> None:
    """A code that is new counts from zero."""
    counted = server_counts.increase_between(
        FakePrometheus(), sample(100, c200=7), sample(130.5, c200=9, c500=2)
    )
    assert counted.counters["codes"] == {("nodes.list", "200"): 2, ("nodes.list", "500"): 2}
    assert (counted.start, counted.end, counted.span) == (100, 130.5, "31s")


@pytest.mark.parametrize(
    ("after", "resets"),
    [({"c200": 3}, []), ({"c500": 9}, []), ({"c200": 9}, [({}, 1.0)])],
    ids=["went back", "went away", "went back and caught up"],
)
def test_counters_that_started_anew_are_worth_nothing(
    after: dict[str, float], resets: list[Any]
) -> None:
    """A restart that lost the counters makes the run incomparable, and says what to do."""
    with pytest.raises(Unreachable, match=r"started anew during the run.* run it again"):
        server_counts.increase_between(
            FakePrometheus(resets=resets), sample(100, c200=7), sample(130, **after)
        )


def test_a_side_counts_its_routes_alone() -> None:
    """Failed is what the contract does not promise; the prober's calls are counted apart."""
    counters: Counters = {
        "codes": {("a", "200"): 8, ("a", "429"): 2, ("b", "201"): 5, ("c", "500"): 9},
        "buckets": {
            ("a", "0.1"): 7,
            ("a", "+Inf"): 10,
            ("b", "0.1"): 5,
            ("b", "+Inf"): 5,
            ("c", "0.1"): 9,
            ("c", "+Inf"): 9,
        },
        "probes": {("a", "ok"): 3, ("a", "error"): 1, ("c", "ok"): 4},
    }
    counted = Increase(0, 10, counters)
    side = server_counts.count_routes(counted, {"a": [200], "b": [201]})
    assert (side.requests, side.failed, side.probed) == (15, 2, True)
    assert (side.probes, side.probes_failed) == (4, 1)
    assert side.buckets == Buckets((0.1, INF), (12, 15))
    assert side.figures(5)["rate"] == 3
    silent = server_counts.count_routes(counted, {"silent": [200]})
    assert (silent.probed, silent.figures(5)["p95"]) == (False, None)
