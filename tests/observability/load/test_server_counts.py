"""The server's side of a load run: buckets, quantiles, differences of counters, and what makes them worthless."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.lib.http import Unreachable
from observability.lib.prometheus import Prometheus
from observability.load import server_counts
from observability.load.server_counts import Buckets, Sample
from observability.spec import names
from observability.spec.plan import Plan

INF = math.inf


class Fake(Prometheus):
    """Answers every question with what the first matching word of it calls for, else with nothing."""

    def __init__(self, **answers: Any):
        super().__init__("http://fake")
        self.answers = answers

    def query(self, expr: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        found = next((answer for word, answer in self.answers.items() if word in expr), [])
        return list(found(at) if callable(found) else found)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 0.1), (0.25, 0.05), (0.75, 0.55), (0.9, 0.82), (0.95, 0.91), (1.0, 1.0)],
)
def test_quantiles_are_linear_within_a_bucket(share: float, expected: float) -> None:
    """Five answers up to 100 ms and five from there to a second, spread evenly, as histogram_quantile takes them."""
    assert Buckets((0.1, 1.0, INF), (5, 10, 10)).quantile(share) == pytest.approx(expected)


def test_quantiles_at_the_ends() -> None:
    """Without events there is none, and beyond the last finite edge that edge is all that is known."""
    assert Buckets((0.1, INF), (0, 0)).quantile(0.95) is None
    assert Buckets((), ()).quantile(0.95) is None
    assert Buckets((0.1, 1.0, INF), (1, 1, 100)).quantile(0.95) == 1.0


@given(
    st.lists(st.floats(0.0001, 20), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_a_quantile_is_in_the_bucket_of_its_event(times: list[float], share: float) -> None:
    """The value and the true one lie between the same edges, which `around` knows."""
    edges = (0.005, 0.05, 0.2, 1.0, 5.0, INF)
    buckets = Buckets(edges, tuple(sum(t <= edge for t in times) for edge in edges))
    true = sorted(times)[math.ceil(share * len(times)) - 1]
    _, low, high = buckets.around(share * len(times))
    assert low < true <= high
    assert low <= (buckets.quantile(share) or 0) <= high * (1 + 1e-9)


def test_more_events_than_there_are_lie_anywhere() -> None:
    """Nothing is claimed of an event that the server has not counted."""
    assert Buckets((0.1, INF), (3, 3)).around(4)[1:] == (0.0, INF)
    assert Buckets((), ()).around(1)[1:] == (0.0, INF)


def sample(at: float, **codes: float) -> Sample:
    counters: server_counts.Counters = {kind: {} for kind in ("buckets", "probes", "total", "bad")}
    return Sample(
        at,
        counters
        | {"codes": {("nodes.list", code.lstrip("c")): count for code, count in codes.items()}},
    )


def test_counts_are_differences() -> None:
    """A code that is new counts from zero."""
    counted = server_counts.between(Fake(), sample(100, c200=7), sample(130.5, c200=9, c500=2))
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
        server_counts.between(Fake(resets=resets), sample(100, c200=7), sample(130, **after))


def test_a_side_counts_its_routes_alone() -> None:
    """Failed is what the contract does not promise; the prober's calls and failures are told apart."""
    counters: server_counts.Counters = {
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
    counted = server_counts.Counted(0, 10, counters)
    side = server_counts.side(counted, {"a": [200], "b": [201]})
    assert (side.requests, side.failed, side.probes, side.probes_failed, side.probed) == (
        15,
        2,
        4,
        1,
        True,
    )
    assert side.buckets == Buckets((0.1, INF), (12, 15))
    assert side.figures(5)["rate"] == 3
    silent = server_counts.side(counted, {"silent": [200]})
    assert (silent.probed, silent.figures(5)["p95"]) == (False, None)


def scrapes(*newest: tuple[float, float]) -> Fake:
    """A Prometheus whose targets were scraped at these times, poll by poll."""
    polls = iter(newest)
    return Fake(
        timestamp=lambda _: [
            ({"job": job}, at) for job, at in zip(("api", "prober"), next(polls), strict=True)
        ]
    )


def test_a_sample_waits_for_every_target(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    """Not before API and prober were both scraped after the moment does counting begin."""
    monkeypatch.setattr(server_counts, "POLL_SECONDS", 0)
    assert server_counts.scraped(scrapes((90, 98), (101, 98), (101, 103)), plan, 100) == {
        "api": 101,
        "prober": 103,
    }


@pytest.mark.parametrize(("answer", "silent"), [([({"job": "api"}, 0.0), ({"job": "prober"}, 200.0)], "api"), ([], "api"),
                                                ([({"job": "api"}, 200.0), ({"job": "prober"}, 99.0)], "prober")])  # fmt: skip
def test_a_target_that_stays_silent_is_named(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, answer: list[Any], silent: str
) -> None:
    """Down, unknown or simply not scraped: somebody has to know which, and where to look."""
    monkeypatch.setattr(server_counts, "PATIENCE", 0.01)
    with pytest.raises(Unreachable, match=f"no new scrape of {silent}; look at: make status"):
        server_counts.scraped(Fake(timestamp=answer), plan, 100)


def test_alerts_leave_the_watchdog_out(plan: Plan) -> None:
    """The watchdog always fires; anything else is told with its SLO, severity and for how long."""
    found = [
        ({"alertname": names.WATCHDOG_ALERT, "severity": "none"}, 9.0),
        ({"alertname": names.BURN_ALERT, "slo": "nodes.list-probe", "severity": "page"}, 3.0),
    ]
    rows = server_counts.alerts(
        Fake(**{names.ALERTS: found}), plan, server_counts.Counted(0, 60, {})
    )
    assert rows == [
        {"alert": names.BURN_ALERT, "slo": "nodes.list-probe", "severity": "page", "seconds": 15.0}
    ]
