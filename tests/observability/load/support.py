"""A run of one route, as Locust and the server counted it, and a fake Prometheus."""

import math
from typing import Any

from observability.lib.prometheus import Prometheus
from observability.load.recording import Recording
from observability.load.run import LoadProfile
from observability.load.server_counts import Increase

INF = math.inf
HOSTILE = "orders.list: 500 <script>alert(1)</script><img src=//evil.example/x>"
FIGURES = {
    "requests": 100,
    "failed": 0,
    "rate": 10.0,
    "p50": 0.01,
    "p90": 0.02,
    "p95": 0.03,
    "p99": 0.04,
}
PROFILE = LoadProfile(20, 50, "10s", "http://127.0.0.1:8000")


def locust_report(verdict: str = "met", **changes: Any) -> dict[str, Any]:
    """Return Locust's report of a run, with `changes` to its keys."""
    objective = {
        "slo": "orders.list-availability",
        "objective": 0.999,
        "measured": 1.0,
        "good": 100,
        "total": 100,
        "events_needed": 1000,
        "verdict": verdict,
    }
    route = {
        "route": "orders.list",
        "expect": [200],
        "within": 0.2,
        "sent": 100,
        "answered": 100,
        "clients": FIGURES,
    }
    return {
        "started": 1000.0,
        "ended": 1010.0,
        "total": FIGURES,
        "routes": [route],
        "objectives": [objective],
        "errors": [{"what": HOSTILE, "count": 3}],
        "exceptions": [],
    } | changes


def increase(requests: int = 100, start: float = 995) -> Increase:
    """Return what the server counted of the route, all of it answered with 200."""
    buckets = {("orders.list", edge): float(requests) for edge in ("0.05", "+Inf")}
    codes = {("orders.list", "200"): float(requests)}
    counters = {"codes": codes, "buckets": buckets, "probes": {}, "total": {}, "bad": {}}
    return Increase(start, 1015, counters)


def recording(requests: int | None = 100) -> Recording:
    """Return the recording of the run; None requests mean that Prometheus did not answer."""
    if requests is None:
        return Recording(unreachable="no scrape")
    return Recording(increase(requests))


class FakePrometheus(Prometheus):
    """A Prometheus that answers a query by the first word that it contains, else with nothing."""

    def __init__(self, **answers: Any):
        super().__init__("http://fake")
        self.answers = answers

    def query(self, expr: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        for word, answer in self.answers.items():
            if word in expr:
                return list(answer(at) if callable(answer) else answer)
        return []
