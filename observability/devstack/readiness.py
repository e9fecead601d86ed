"""Waits: the conditions under which either stack is up, and the test alert that proves delivery."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
from rich.markup import escape

from observability.devstack.job_failures import JobFailures
from observability.devstack.layout import StackLayout
from observability.devstack.steps import StackError, Steps
from observability.devstack.targets import announced_at_end
from observability.lib import scope
from observability.lib.alerts import fetch_delivered_alerts
from observability.lib.http import Unreachable, poll, responds
from observability.lib.json_object import Json
from observability.lib.loki import Loki
from observability.lib.prometheus import ServicePrometheus
from observability.lib.promql import selector
from observability.spec import names
from observability.spec.plan import JOB_SOURCE, Plan

READY_SECONDS = 120
POLL_SECONDS = 0.2
TEST_ALERT_MINUTES = 1

Targets = list[Json]
FailedPrograms = Callable[[], list[str]]  # names of programs that do not stay up


@dataclass(frozen=True)
class Wait:
    """A condition that must become true, and the command to run when it does not."""

    label: str
    is_true: Callable[[], bool]
    look_at: str
    is_required: bool = True  # False: `up` only says that it is not true


class TimedOut(StackError):
    """A wait that did not become true in time."""


def wait_until_working(
    layout: StackLayout,
    before: Iterable[Wait],
    after: Iterable[Wait],
    failed_programs: FailedPrograms,
    step: Steps,
) -> None:
    """Wait for the programs, announce them to Prometheus, wait for monitoring; raise StackError.

    They are announced also when a wait fails or is interrupted: what runs is monitored.
    """
    with announced_at_end(layout):
        wait_for_each(before, failed_programs, step)
    wait_for_each(after, failed_programs, step)


def wait_for_each(waits: Iterable[Wait], failed_programs: FailedPrograms, step: Steps) -> None:
    """Wait for one after the other; print the reason when one that is not required times out."""
    for wait in waits:
        with step(wait.label) as tell:
            try:
                wait_until(wait, failed_programs)
            except TimedOut as error:
                if wait.is_required:
                    raise
                tell(f"[yellow]{escape(str(error))}[/yellow]")


def wait_until(wait: Wait, failed_programs: FailedPrograms) -> None:
    """Poll until the wait is over.

    Raise StackError with the log to read after READY_SECONDS, or when a program has failed.
    """
    reason = "the condition is still false"
    for _ in poll(READY_SECONDS, POLL_SECONDS):
        try:
            if wait.is_true():
                return
        except (Unreachable, httpx.HTTPError) as error:
            reason = str(error)
        if failed := failed_programs():
            listed = ", ".join(failed)
            raise StackError(f"{listed} does not stay up; fix: read make logs P={failed[0]}")
    raise TimedOut(
        f"not within {READY_SECONDS} s: {wait.label} ({reason}); fix: read {wait.look_at}"
    )


def api_wait(layout: StackLayout) -> Wait:
    """Return the wait for an API whose database is migrated."""
    url = layout.url("api") + "/health/ready"
    return Wait("the API answers and is migrated", lambda: responds(url, 2), "make logs P=api")


def job_wait(
    plan: Plan,
    last_successes: Callable[[], dict[str, float]],
    failures: Callable[[], JobFailures],
    since: float,
    look_at: str,
) -> Wait:
    """Return the wait for jobs that succeed after `since`, Unix seconds, or that fail.

    The data and servers of a job are not the stack's: its failure must not keep the stack down.
    """

    def jobs_have_run() -> bool:
        last = last_successes()
        late = {job for job in plan.stack.wait_for if last.get(job, 0) <= since}
        return not late or late <= {failure.job for failure in failures()}

    return Wait("the jobs have run", jobs_have_run, look_at, is_required=False)


def monitoring_waits(
    layout: StackLayout,
    plan: Plan,
    is_complete: Callable[[Targets], bool],
    failures: Callable[[], JobFailures],
) -> list[Wait]:
    """Return the waits for everything from scrape to delivery; delivery comes first.

    `is_complete` tells whether Prometheus's active targets are all that there must be. The SLO of
    a job with failures may have no data yet.
    """
    prometheus = ServicePrometheus(layout.url("prometheus"), plan)

    def targets_are_up() -> bool:
        targets = prometheus.targets()
        return is_complete(targets) and {target["health"] for target in targets} == {"up"}

    return [
        delivery_wait(layout, plan),
        Wait("every target is scraped", targets_are_up, "make logs P=prometheus"),
        Wait(
            "every rule is evaluated, every SLO measured",
            lambda: (
                rules_are_healthy(prometheus, plan)
                and slos_are_measured(prometheus, plan, failures())
            ),
            "make logs P=prometheus, and make check",
        ),
    ]


def rules_are_healthy(prometheus: ServicePrometheus, plan: Plan) -> bool:
    """Tell whether no rule has failed and every rule of the fast groups is evaluated.

    Groups with a longer interval have their first evaluation later.
    """
    health_of_all, health_of_fast = set[str](), set[str]()
    for group in prometheus.rule_groups():
        health = {rule["health"] for rule in group["rules"]}
        health_of_all |= health
        if group["interval"] <= plan.clock.evaluate:
            health_of_fast |= health
    return health_of_fast == {"ok"} and "err" not in health_of_all


def slos_are_measured(prometheus: ServicePrometheus, plan: Plan, failures: JobFailures) -> bool:
    """Tell whether every SLO has a series, except those of jobs that fail and declared ones.

    A metric that the catalogue names may begin with its first event. During declared maintenance
    nothing is measured.
    """
    if plan.maintenance and prometheus.query(names.IN_MAINTENANCE):
        return True
    series_by_slo = prometheus.query_by_label(names.MEASURED, names.SLO)
    failing = {failure.job for failure in failures}
    return all(
        slo.name in series_by_slo
        or slo.is_declared
        or (slo.source == JOB_SOURCE and slo.subject in failing)
        for slo in plan.slos
    )


def delivery_wait(layout: StackLayout, plan: Plan) -> Wait:
    """Return the wait for a test alert, which is sent at the first poll."""
    mark = f"{names.TEST_ALERT}-{time.time():.0f}"
    is_sent = False

    def is_delivered() -> bool:
        nonlocal is_sent
        if not is_sent:
            send_test_alert(layout, plan, mark)
            is_sent = True
        delivered = fetch_delivered_alerts(layout.url("console"))
        return any(alert["labels"].get(names.SLO) == mark for alert in delivered)

    look_at = "make logs P=alertmanager, and make logs P=console"
    return Wait("a test alert reached the inbox", is_delivered, look_at)


def send_test_alert(layout: StackLayout, plan: Plan, mark: str) -> None:
    """Send an alert with a group of its own, so that it waits for no earlier notification.

    Alertmanager groups by SLO, among others: the mark takes its place.
    """
    now = datetime.now(UTC)
    alert = {
        "labels": {
            "alertname": names.TEST_ALERT,
            names.SLO: mark,
            names.SEVERITY: plan.heartbeat_severity,
            names.OWNER: plan.owner,
        },
        "annotations": {"summary": "Sent by `make up`, to see that alerts are delivered"},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=TEST_ALERT_MINUTES)).isoformat(),
    }
    url = layout.url("alertmanager") + "/api/v2/alerts"
    httpx.post(url, json=[alert], timeout=5).raise_for_status()


def log_wait(layout: StackLayout, plan: Plan, since: float) -> Wait:
    """Return the wait for a log line of the API that is newer than `since`, Unix seconds."""
    loki = Loki(layout.url("loki"))
    stream = selector("", **scope.own_labels(plan), **{names.LOG_PROGRAM: "api"})
    return Wait(
        "log lines arrive in Loki",
        lambda: bool(loki.query_lines(stream, since, limit=1)),
        "make logs P=loki, and make logs P=fluent-bit",
    )
