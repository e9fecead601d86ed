"""The server's side of a load run: exact counts between two scrapes.

PromQL's increase() would extrapolate. Counters are read at the time of one scrape before the run
and of one after it, so that every request of the run, and next to nothing else, lies between them.
"""

import math
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass

from observability.lib.http import Unreachable
from observability.lib.json_object import Json
from observability.lib.prometheus import ServicePrometheus
from observability.load.buckets import Buckets
from observability.load.scrapes import ScrapeTimes
from observability.sli import registry as sli
from observability.spec import names
from observability.spec.plan import Plan

OK = names.OUTCOMES[0]
Counts = dict[tuple[str, ...], float]  # values of labels → count
ExpectedCodes = dict[str, list[int]]  # route → the status codes that its contract promises


@dataclass(frozen=True)
class CountedExpression:
    """An expression that only grows, the labels that it is summed by, and its scrape job."""

    expr: str
    labels: tuple[str, ...]
    job: str

    def read(self, prometheus: ServicePrometheus, at: float) -> Counts:
        """Return its value at a Unix time; a series that does not exist yet has no entry."""
        by = ", ".join(self.labels)
        vector = prometheus.query(f"sum by ({by}) ({self.expr})", at)
        return {tuple(series[label] for label in self.labels): value for series, value in vector}


@dataclass(frozen=True)
class Increase:
    """The increase of every counter by name between two Unix times."""

    start: float
    end: float
    counters: dict[str, Counts]

    @property
    def span(self) -> str:
        """Return the time in between as a range that includes the first sample."""
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

    def figures(self, seconds: float) -> Json:
        """Return the same numbers as the clients' side has; times in seconds."""
        counts = {"requests": self.requests, "failed": self.failed, "rate": self.requests / seconds}
        return counts | self.buckets.quantiles()


def list_counters(plan: Plan) -> dict[str, CountedExpression]:
    """Return the counters of a run by name.

    `codes` counts requests by route and status code, `buckets` by route and bucket edge, `probes`
    those of the prober by route and outcome; `total` and `bad` are the events of each SLO that
    follows from a route or a dependency. Those are evaluated here, because the recording rules run
    later than the scrape.
    """
    pairs = [pair for pair, labels in sli.event_counters(plan) if names.SLO not in labels]
    api, prober = plan.scrape.api, plan.scrape.prober
    return {
        "codes": CountedExpression(names.HTTP_REQUESTS + "_total", (names.ROUTE, names.CODE), api),
        "buckets": CountedExpression(names.HTTP_DURATION + "_bucket", (names.ROUTE, "le"), api),
        "probes": CountedExpression(names.PROBES + "_total", (names.ROUTE, names.OUTCOME), prober),
        "total": CountedExpression(join(pair.total for pair in pairs), (names.SLO,), api),
        "bad": CountedExpression(join(pair.bad for pair in pairs), (names.SLO,), api),
    }


def join(exprs: Iterable[str]) -> str:
    """Return the union of expressions about different SLOs."""
    return "\nor ".join(exprs)


def measure_increase(
    prometheus: ServicePrometheus, plan: Plan, before: ScrapeTimes, after: ScrapeTimes
) -> Increase:
    """Return the increase between two scrapes; raise Unreachable after a counter reset."""
    start = before[plan.scrape.api]
    end = after[plan.scrape.api]
    increase = Increase(start, end, {})
    resets = f"sum(resets({names.HTTP_REQUESTS}_total[{increase.span}])) > 0"
    was_reset = bool(prometheus.query(resets, end))
    for name, counter in list_counters(plan).items():
        old_counts = counter.read(prometheus, before.get(counter.job, start))
        counts = counter.read(prometheus, after.get(counter.job, end))
        grown = {key: count - old_counts.get(key, 0.0) for key, count in counts.items()}
        lost_series = old_counts.keys() - counts.keys()
        if lost_series or any(count < 0 for count in grown.values()):
            was_reset = True
        increase.counters[name] = grown
    if was_reset:
        raise Unreachable(
            "the API's counters started anew during the run, "
            "so nothing can be compared; run it again"
        )
    return increase


def count_routes(increase: Increase, expected_codes: ExpectedCodes) -> ServerCounts:
    """Return the server's counts of the routes in `expected_codes`, taken together."""
    codes = sum_by_value(increase, "codes", expected_codes)
    failed = sum(
        count
        for (route, code), count in increase.counters["codes"].items()
        if route in expected_codes and int(code) not in expected_codes[route]
    )
    probes = sum_by_value(increase, "probes", expected_codes)
    probes_failed = sum(count for outcome, count in probes.items() if outcome != OK)
    buckets = sum_by_value(increase, "buckets", expected_codes)
    edges = sorted(buckets, key=float)
    return ServerCounts(
        requests=round(sum(codes.values())),
        failed=round(failed),
        probes=round(sum(probes.values())),
        probes_failed=round(probes_failed),
        probed=bool(probes),
        buckets=Buckets(
            edges=tuple(map(float, edges)),
            counts=tuple(buckets[edge] for edge in edges),
        ),
    )


def sum_by_value(increase: Increase, counter: str, routes: Container[str]) -> dict[str, float]:
    """Return a counter's increase on some routes by the value of its other label."""
    sums: dict[str, float] = defaultdict(float)
    for (route, value), count in increase.counters[counter].items():
        if route in routes:
            sums[value] += count
    return sums
