"""The server's side of a load run: exact counts between two scrapes.

PromQL's increase() would extrapolate. Counters are read at the time of one scrape before the run
and of one after it, so that every request of the run, and next to nothing else, lies between them.
"""

import math
from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

from observability.lib.http import Unreachable
from observability.lib.prometheus import Prometheus
from observability.load.buckets import Buckets
from observability.load.scrapes import Counters, Sample
from observability.spec import names

OK = names.OUTCOMES[0]
ExpectedCodes = dict[str, list[int]]  # route → the status codes that its contract promises


@dataclass(frozen=True)
class Increase:
    """The increase of every counter between two Unix times."""

    start: float
    end: float
    counters: Counters

    @property
    def span(self) -> str:
        """The time in between as a range that holds the first sample, too."""
        return f"{math.floor(self.end - self.start) + 1}s"


@dataclass(frozen=True)
class ServerCounts:
    """The server's counts of some routes; failed are answers that the contract does not promise."""

    requests: int
    failed: int
    probes: int
    probes_failed: int
    probed: bool  # the prober calls one of the routes, even if it did not in this time
    buckets: Buckets

    def figures(self, seconds: float) -> dict[str, Any]:
        """Return the same numbers as the clients' side has; times in seconds."""
        counts = {"requests": self.requests, "failed": self.failed, "rate": self.requests / seconds}
        return counts | self.buckets.quantiles()


def increase_between(prometheus: Prometheus, before: Sample, after: Sample) -> Increase:
    """Return the increase between two samples; raise Unreachable after a counter reset."""
    counters: Counters = {}
    was_reset = False
    for counter, counts in after.counters.items():
        old_counts = before.counters[counter]
        grown = {key: count - old_counts.get(key, 0.0) for key, count in counts.items()}
        lost_series = old_counts.keys() - counts.keys()
        if lost_series or any(count < 0 for count in grown.values()):
            was_reset = True
        counters[counter] = grown
    increase = Increase(before.at, after.at, counters)
    resets = f"sum(resets({names.HTTP_REQUESTS}_total[{increase.span}])) > 0"
    if was_reset or prometheus.query(resets, after.at):
        raise Unreachable(
            "the API's counters started anew during the run, "
            "so nothing can be compared; run it again"
        )
    return increase


def count_routes(increase: Increase, expected_codes: ExpectedCodes) -> ServerCounts:
    """Return the server's counts of the routes in `expected_codes`, taken together."""
    requests = failed = 0.0
    for route, code, count in select_routes(increase, "codes", expected_codes):
        requests += count
        if int(code) not in expected_codes[route]:
            failed += count
    probes = sum_by_value(increase, "probes", expected_codes)
    probes_failed = sum(count for outcome, count in probes.items() if outcome != OK)
    edges = sum_by_value(increase, "buckets", expected_codes)
    counts_by_edge = sorted((float(edge), count) for edge, count in edges.items())
    return ServerCounts(
        requests=round(requests),
        failed=round(failed),
        probes=round(sum(probes.values())),
        probes_failed=round(probes_failed),
        probed=bool(probes),
        buckets=Buckets(
            edges=tuple(edge for edge, _ in counts_by_edge),
            counts=tuple(count for _, count in counts_by_edge),
        ),
    )


def sum_by_value(increase: Increase, counter: str, routes: Container[str]) -> dict[str, float]:
    """Return a counter's increase on some routes by the value of its other label."""
    sums: dict[str, float] = defaultdict(float)
    for _, value, count in select_routes(increase, counter, routes):
        sums[value] += count
    return sums


def select_routes(
    increase: Increase, counter: str, routes: Container[str]
) -> Iterator[tuple[str, str, float]]:
    """Yield route, value of the other label, and increase of a counter on some routes."""
    for (route, value), count in increase.counters[counter].items():
        if route in routes:
            yield route, value, count
