"""The API's counters at the moment of a scrape."""

from dataclasses import dataclass
from functools import partial

from observability.generate import prometheus as rules
from observability.lib.http import Unreachable, poll
from observability.lib.prometheus import Prometheus
from observability.lib.promql import selector
from observability.spec import names
from observability.spec.plan import Plan

PATIENCE = 6  # scrape intervals until a target that was not scraped counts as silent
POLL_SECONDS = 0.25
Counts = dict[tuple[str, ...], float]  # values of labels → count
Counters = dict[str, Counts]  # by name of the counter


@dataclass(frozen=True)
class Sample:
    """The values of the counters when the API was scraped at `at`, a Unix time."""

    at: float
    counters: Counters


def wait_for_scrapes(prometheus: Prometheus, plan: Plan, after: float) -> dict[str, float]:
    """Wait for a scrape of every target after a moment; return its time by scrape job."""
    up = selector(names.UP, job=f"~{names.SCRAPE_API}|{names.SCRAPE_PROBER}")
    query = f"timestamp({up}) * {up}"  # 0 for a target that is down
    timeout = PATIENCE * float(plan.clock.scrape)
    for _ in poll(timeout, POLL_SECONDS):
        scrapes = prometheus.query(query)
        newest: dict[str, float] = {}
        for labels, at in scrapes:
            job = labels["job"]
            newest[job] = max(at, newest.get(job, at))
        if names.SCRAPE_API in newest and min(at for _, at in scrapes) > after:
            return newest
    silent = sorted({labels["job"] for labels, at in scrapes if at <= after})
    if not silent:
        silent = [names.SCRAPE_API]
    jobs = " and ".join(silent)
    raise Unreachable(
        f"Prometheus at {prometheus.url} has no new scrape of {jobs}; "
        "look at: make status, make logs P=metrics"
    )


def take_sample(prometheus: Prometheus, plan: Plan, after: float) -> Sample:
    """Return every counter at the first scrape after a moment; raise Unreachable."""
    scrape_times = wait_for_scrapes(prometheus, plan, after)
    at = scrape_times[names.SCRAPE_API]
    probed_at = scrape_times.get(names.SCRAPE_PROBER, at)
    read = partial(read_counter, prometheus)
    codes = read(at, names.HTTP_REQUESTS + "_total", names.ROUTE, names.CODE)
    buckets = read(at, names.HTTP_DURATION + "_bucket", names.ROUTE, "le")
    probes = read(probed_at, names.PROBES + "_total", names.ROUTE, names.OUTCOME)
    counters = {"codes": codes, "buckets": buckets, "probes": probes}
    # The rules run later than the scrape: evaluate their expressions instead of reading them.
    events = {rule["record"]: rule["expr"] for rule in rules.events(plan)}
    counters["total"] = read(at, events[names.TOTAL], names.SLO)
    counters["bad"] = read(at, events[names.BAD], names.SLO)
    return Sample(at, counters)


def read_counter(prometheus: Prometheus, at: float, expr: str, *labels: str) -> Counts:
    """Return the value of a counter at a time by the values of its labels."""
    query = f"sum by ({', '.join(labels)}) ({expr})"
    counts: Counts = {}
    for series, value in prometheus.query(query, at):
        key = tuple(series[label] for label in labels)
        counts[key] = value
    return counts
