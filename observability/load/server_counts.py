"""The server's side of a load run: exact counts between two scrapes.

PromQL's increase() would extrapolate. Counters are read at the time of one scrape before the run
and of one after it, so that every request of the run, and next to nothing else, lies between them.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from observability.generate import prometheus as rules
from observability.lib.http import Unreachable, poll
from observability.lib.prometheus import Prometheus
from observability.lib.promql import firing, selector
from observability.slo import verdicts as slos
from observability.spec import names
from observability.spec.plan import FINE_PACE, Plan, Window
from observability.spec.quantities import format_decimal

PATIENCE = 6  # scrape intervals until a target that was not scraped counts as silent
POLL_SECONDS = 0.25
SHARES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
Counters = dict[str, dict[tuple[str, ...], float]]  # kind → values of labels → count


@dataclass(frozen=True)
class Sample:
    """What had been counted when the API was scraped at `at`, a Unix time."""

    at: float
    counters: Counters


@dataclass(frozen=True)
class Counted:
    """What was counted between two Unix times."""

    start: float
    end: float
    counters: Counters

    @property
    def span(self) -> str:
        """The time in between as a range that holds the first sample, too."""
        return f"{math.floor(self.end - self.start) + 1}s"


@dataclass(frozen=True)
class Buckets:
    """Cumulative counts of a histogram by upper edge in seconds; the last is infinite."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]

    def around(self, rank: float) -> tuple[int, float, float]:
        """Return the bucket of a rank and its edges; 0 and infinity beyond all events."""
        if not self.counts or rank > self.counts[-1]:
            return len(self.counts) - 1, 0.0, math.inf
        index = bisect_left(self.counts, rank)
        return index, (self.edges[index - 1] if index else 0.0), self.edges[index]

    def quantile(self, share: float) -> float | None:
        """Return a quantile as PromQL's histogram_quantile does; None without events."""
        if not self.counts or not self.counts[-1]:
            return None
        rank = share * self.counts[-1]
        index, lower, upper = self.around(rank)
        if math.isinf(upper):
            return lower
        before = self.counts[index - 1] if index else 0.0
        return lower + (upper - lower) * ((rank - before) / (self.counts[index] - before))


@dataclass(frozen=True)
class Side:
    """The server's counts; failed are answers that the contract does not promise."""

    requests: int
    failed: int
    probes: int
    probes_failed: int
    probed: bool  # the prober calls one of the routes, even if it did not in this time
    buckets: Buckets

    def figures(self, seconds: float) -> dict[str, Any]:
        """The same numbers as the clients' side has; times in seconds."""
        quantiles = {name: self.buckets.quantile(share) for name, share in SHARES.items()}
        return {
            "requests": self.requests,
            "failed": self.failed,
            "rate": self.requests / seconds,
            **quantiles,
        }


def scraped(prometheus: Prometheus, plan: Plan, after: float) -> dict[str, float]:
    """Wait for a scrape of every target after a moment; return its time by scrape job."""
    up = selector(names.UP, job=f"~{names.SCRAPE_API}|{names.SCRAPE_PROBER}")
    for _ in poll(PATIENCE * float(plan.clock.scrape), POLL_SECONDS):
        seen = prometheus.query(f"timestamp({up}) * {up}")  # 0 for a target that is down
        newest = {
            job: max(at for labels, at in seen if labels["job"] == job)
            for job in {labels["job"] for labels, _ in seen}
        }
        if names.SCRAPE_API in newest and min(at for _, at in seen) > after:
            return newest
    silent = sorted({labels["job"] for labels, at in seen if at <= after}) or [names.SCRAPE_API]
    raise Unreachable(
        f"Prometheus at {prometheus.url} has no new scrape of {' and '.join(silent)}; "
        f"look at: make status, make logs P=metrics"
    )


def sample(prometheus: Prometheus, plan: Plan, after: float) -> Sample:
    """Return every counter at the first scrape after a moment; raise Unreachable."""
    times = scraped(prometheus, plan, after)
    at = times[names.SCRAPE_API]
    events = {
        rule["record"]: rule["expr"] for rule in rules.events(plan)
    }  # asked here, because the rules run later than the scrape

    def read(expr: str, *labels: str, at: float = at) -> dict[tuple[str, ...], float]:
        return {
            tuple(found[x] for x in labels): value
            for found, value in prometheus.query(f"sum by ({', '.join(labels)}) ({expr})", at)
        }

    return Sample(
        at,
        {
            "codes": read(names.HTTP_REQUESTS + "_total", names.ROUTE, names.CODE),
            "buckets": read(names.HTTP_DURATION + "_bucket", names.ROUTE, "le"),
            "probes": read(
                names.PROBES + "_total",
                names.ROUTE,
                names.OUTCOME,
                at=times.get(names.SCRAPE_PROBER, at),
            ),
            "total": read(events[names.TOTAL], names.SLO),
            "bad": read(events[names.BAD], names.SLO),
        },
    )


def between(prometheus: Prometheus, before: Sample, after: Sample) -> Counted:
    """Return the counts between two samples; raise Unreachable after a counter reset."""
    counted = Counted(
        before.at,
        after.at,
        {
            kind: {key: count - before.counters[kind].get(key, 0.0) for key, count in rows.items()}
            for kind, rows in after.counters.items()
        },
    )
    gone = any(
        before.counters[kind].keys() - rows.keys() for kind, rows in counted.counters.items()
    )
    negative = any(count < 0 for rows in counted.counters.values() for count in rows.values())
    if (
        gone
        or negative
        or prometheus.query(
            f"sum(resets({names.HTTP_REQUESTS}_total[{counted.span}])) > 0", after.at
        )
    ):
        raise Unreachable(
            "the API's counters started anew during the run, "
            "so nothing can be compared; run it again"
        )
    return counted


def side(counted: Counted, expect: dict[str, list[int]]) -> Side:
    """Return the counts of routes; `expect` has each one's promised status codes."""
    codes, probes = counted.counters["codes"].items(), counted.counters["probes"].items()
    sums: dict[float, float] = {}
    for (route, edge), count in counted.counters["buckets"].items():
        if route in expect:
            sums[float(edge)] = sums.get(float(edge), 0.0) + count
    edges = sorted(sums)
    return Side(
        round(sum(count for (route, _), count in codes if route in expect)),
        round(
            sum(
                count
                for (route, code), count in codes
                if route in expect and int(code) not in expect[route]
            )
        ),
        round(sum(count for (route, _), count in probes if route in expect)),
        round(
            sum(
                count
                for (route, outcome), count in probes
                if route in expect and outcome != names.OUTCOMES[0]
            )
        ),
        any(route in expect for (route, _), _ in probes),
        Buckets(tuple(edges), tuple(sums[edge] for edge in edges)),
    )


def budgets(prometheus: Prometheus, plan: Plan, counted: Counted) -> Iterator[dict[str, Any]]:
    """Yield each SLO's events of the run and the share of the period's budget that they spent.

    Freshness and probes count seconds. The budget is what the events of the last period allow.
    """
    totals, bads = counted.counters["total"], counted.counters["bad"]
    run = Window("run", Decimal(math.ceil(counted.end - counted.start)), FINE_PACE)
    timed = [
        prometheus.query_by_label(expr, names.SLO, counted.end) for expr in slos.sums(run, plan)
    ]
    for row in slos.measure(plan, prometheus, plan.period):
        key = (row.slo,)
        seconds, bad_seconds = (found.get(row.slo, 0.0) for found in timed)
        total, bad = (totals[key], bads.get(key, 0.0)) if key in totals else (seconds, bad_seconds)
        allowed = (1 - row.objective) * max(row.total or 0.0, total)
        spent = bad / allowed if allowed else 0.0
        yield {
            "slo": row.slo,
            "total": total,
            "bad": bad,
            "allowed": allowed,
            "spent": spent,
            "left": row.budget_remaining,
        }


def alerts(prometheus: Prometheus, plan: Plan, counted: Counted) -> list[dict[str, Any]]:
    """Return the alerts that fired, without the watchdog, and for about how many seconds."""
    found = prometheus.query(f"count_over_time({firing()}[{counted.span}])", counted.end)
    rows = [
        {
            "alert": labels["alertname"],
            "slo": labels.get(names.SLO, ""),
            "severity": labels.get(names.SEVERITY, ""),
            "seconds": count * float(plan.clock.evaluate),
        }
        for labels, count in found
        if labels["alertname"] != names.WATCHDOG_ALERT
    ]
    return sorted(rows, key=lambda row: (row["severity"], row["alert"], row["slo"]))


def workers(prometheus: Prometheus, plan: Plan, counted: Counted) -> dict[str, dict[str, float]]:
    """Return least, mean and most of the workers' CPU seconds per second and memory bytes."""
    scrape = plan.clock.scrape
    asked = {
        "cpu": f"sum(rate({names.WORKER_CPU}_total[{format_decimal(scrape * 3)}s]))",
        "memory": f"sum({names.WORKER_MEMORY})",
    }
    span = f"{counted.span}:{format_decimal(scrape)}s"
    return {
        what: {
            how: value
            for how in ("min", "avg", "max")
            for _, value in prometheus.query(f"{how}_over_time(({expr})[{span}])", counted.end)
        }
        for what, expr in asked.items()
    }


def watched(prometheus: Prometheus, plan: Plan, counted: Counted) -> dict[str, Any]:
    """Return the budgets, the alerts and the resources of the workers in that time."""
    return {
        "budgets": list(budgets(prometheus, plan, counted)),
        "alerts": alerts(prometheus, plan, counted),
        "workers": workers(prometheus, plan, counted),
    }
