"""Scrapes of the API and the prober, between which a load run is counted."""

from observability.lib.http import Unreachable, poll
from observability.lib.prometheus import ServicePrometheus
from observability.lib.promql import one_of, selector
from observability.spec import names
from observability.spec.plan import Plan

PATIENCE = 6  # scrape intervals until a target that was not scraped counts as silent
POLL_SECONDS = 0.25
ScrapeTimes = dict[str, float]  # Unix time of the newest scrape by scrape job


def wait_for_scrapes(prometheus: ServicePrometheus, plan: Plan, after: float) -> ScrapeTimes:
    """Wait until every target was scraped after a moment.

    Return the time of the newest scrape by scrape job. Raise Unreachable when a target is down or
    was not scraped for PATIENCE intervals.
    """
    timeout = PATIENCE * float(plan.clock.scrape)
    for _ in poll(timeout, POLL_SECONDS):
        scrapes = list_scrapes(prometheus, plan)
        jobs = {job for job, _ in scrapes}
        silent_jobs = {job for job, at in scrapes if at <= after}
        if plan.scrape.api in jobs and not silent_jobs:
            return newest_by_job(scrapes)
    silent = " and ".join(sorted(silent_jobs) or [plan.scrape.api])
    raise Unreachable(
        f"Prometheus at {prometheus.url} has no new scrape of {silent}; "
        "look at: make status, make logs P=metrics"
    )


def list_scrapes(prometheus: ServicePrometheus, plan: Plan) -> list[tuple[str, float]]:
    """Return scrape job and Unix time of each target's last scrape.

    The time of a target that is down is 0.
    """
    up = selector(names.UP, job=one_of([plan.scrape.api, plan.scrape.prober]))
    targets = prometheus.query(f"timestamp({up}) * {up}")
    return [(labels["job"], at) for labels, at in targets]


def newest_by_job(scrapes: list[tuple[str, float]]) -> ScrapeTimes:
    """Return the time of the newest scrape of each job."""
    newest: ScrapeTimes = {}
    for job, at in scrapes:
        newest[job] = max(at, newest.get(job, at))
    return newest
