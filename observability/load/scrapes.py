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
    """The values of the counters when the API was scraped at `at`, a Unix time.

    `codes` counts requests by route and status code, `buckets` by route and bucket edge, `probes`
    those of the prober by route and outcome; `total` and `bad` are the events of each SLO.
    """

    at: float
    counters: Counters


def take_sample(prometheus: Prometheus, plan: Plan, after: float) -> Sample:
    """Return every counter at the first scrape after a moment; raise Unreachable.

    Events of SLOs are evaluated here: the recording rules run later than the scrape.
    """
    scrape_times = wait_for_scrapes(prometheus, plan, after)
    at = scrape_times[names.SCRAPE_API]
    probed_at = scrape_times.get(names.SCRAPE_PROBER, at)
    expressions = {rule["record"]: rule["expr"] for rule in rules.events(plan)}
    read = partial(read_counter, prometheus)
    counters = {
        "codes": read(at, names.HTTP_REQUESTS + "_total", names.ROUTE, names.CODE),
        "buckets": read(at, names.HTTP_DURATION + "_bucket", names.ROUTE, "le"),
        "probes": read(probed_at, names.PROBES + "_total", names.ROUTE, names.OUTCOME),
        "total": read(at, expressions[names.TOTAL], names.SLO),
        "bad": read(at, expressions[names.BAD], names.SLO),
    }
    return Sample(at, counters)


def read_counter(prometheus: Prometheus, at: float, expr: str, *labels: str) -> Counts:
    """Return the value of a counter at a Unix time by the values of its labels.

    A series that does not exist yet has no entry.
    """
    by = ", ".join(labels)
    counts: Counts = {}
    for series, value in prometheus.query(f"sum by ({by}) ({expr})", at):
        key = tuple(series[label] for label in labels)
        counts[key] = value
    return counts


def wait_for_scrapes(prometheus: Prometheus, plan: Plan, after: float) -> dict[str, float]:
    """Wait until every target was scraped after a moment.

    Return the time of the newest scrape by scrape job. Raise Unreachable when a target is down or
    was not scraped for PATIENCE intervals.
    """
    timeout = PATIENCE * float(plan.clock.scrape)
    for _ in poll(timeout, POLL_SECONDS):
        scrapes = list_scrapes(prometheus)
        jobs = {job for job, _ in scrapes}
        silent_jobs = {job for job, at in scrapes if at <= after}
        if names.SCRAPE_API in jobs and not silent_jobs:
            return newest_by_job(scrapes)
    silent = " and ".join(sorted(silent_jobs) or [names.SCRAPE_API])
    raise Unreachable(
        f"Prometheus at {prometheus.url} has no new scrape of {silent}; "
        "look at: make status, make logs P=metrics"
    )


def list_scrapes(prometheus: Prometheus) -> list[tuple[str, float]]:
    """Return scrape job and Unix time of each target's last scrape.

    The time of a target that is down is 0.
    """
    up = selector(names.UP, job=f"~{names.SCRAPE_API}|{names.SCRAPE_PROBER}")
    targets = prometheus.query(f"timestamp({up}) * {up}")
    return [(labels["job"], at) for labels, at in targets]


def newest_by_job(scrapes: list[tuple[str, float]]) -> dict[str, float]:
    """Return the time of the newest scrape of each job."""
    newest: dict[str, float] = {}
    for job, at in scrapes:
        newest[job] = max(at, newest.get(job, at))
    return newest
