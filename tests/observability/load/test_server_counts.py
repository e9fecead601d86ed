"""The server's side of a load run: differences of counters, and resets."""

from typing import Any

import pytest

from observability.lib.http import Unreachable
from observability.load import server_counts
from observability.load.buckets import Buckets
from observability.load.server_counts import Counts, Increase
from observability.spec.plan import Plan
from tests.observability.load.support import INF, FakePrometheus

START = {"api": 100.0}
END = {"api": 130.5}


def counting(before: dict[str, float], after: dict[str, float], **more: Any) -> FakePrometheus:
    """Return a Prometheus with the counts of one route by code before and after a run."""

    def codes(at: float) -> list[Any]:
        counts = before if at == START["api"] else after
        return [({"route": "orders.list", "code": code}, n) for code, n in counts.items()]

    return FakePrometheus(**more, **{"by (route, code)": codes})


def test_counts_are_differences(plan: Plan) -> None:
    """A code that is new counts from zero."""
    prometheus = counting({"200": 7}, {"200": 9, "500": 2})
    increase = server_counts.measure_increase(prometheus, plan, START, END)
    assert increase.counters["codes"] == {("orders.list", "200"): 2, ("orders.list", "500"): 2}
    assert (increase.start, increase.end, increase.span) == (100, 130.5, "31s")


def test_the_prober_is_counted_at_its_own_scrapes(plan: Plan) -> None:
    """API and prober are scraped at different moments."""
    asked: list[float] = []

    def probes(at: float) -> list[Any]:
        asked.append(at)
        return [({"route": "orders.list", "outcome": "ok"}, at)]

    prometheus = FakePrometheus(**{"by (route, outcome)": probes})
    before = START | {"prober": 98.0}
    after = END | {"prober": 133.0}
    increase = server_counts.measure_increase(prometheus, plan, before, after)
    assert increase.counters["probes"] == {("orders.list", "ok"): 35}
    assert asked == [98, 133]


@pytest.mark.parametrize(
    ("after", "resets"),
    [({"200": 3}, []), ({"500": 9}, []), ({"200": 9}, [({}, 1.0)])],
    ids=["went back", "went away", "went back and caught up"],
)
def test_reset_counters_are_not_compared(
    plan: Plan, after: dict[str, float], resets: list[Any]
) -> None:
    """A restart makes the run incomparable; the message says what to do."""
    prometheus = counting({"200": 7}, after, resets=resets)
    with pytest.raises(Unreachable, match=r"started anew during the run.* run it again"):
        server_counts.measure_increase(prometheus, plan, START, END)


def test_counts_are_those_of_the_given_routes() -> None:
    """Status codes outside the contract are failures; probes are counted separately."""
    counters: dict[str, Counts] = {
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
