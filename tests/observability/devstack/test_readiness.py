"""Waits: what they wait for, and what to read when one fails."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from observability.devstack import readiness
from observability.devstack.job_failures import JobFailure
from observability.devstack.steps import StackError, Steps
from observability.lib.prometheus import Prometheus
from observability.spec.plan import JOB_SOURCE, Plan

FAST, SLOW = 5, 3600  # seconds between evaluations of a group


@contextmanager
def failing() -> Iterator[None]:
    with pytest.raises(StackError) as caught:
        yield
    assert "make logs P=api" in str(caught.value)


def test_failed_wait_names_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends and a wait that times out both name the log to read."""
    wait = readiness.Wait("the API answers", lambda: False, "make logs P=api")
    with failing():
        readiness.wait_until(wait, lambda: ["api"])
    monkeypatch.setattr(readiness, "READY_SECONDS", 0.3)
    with failing():
        readiness.wait_until(wait, list)


@pytest.mark.parametrize(
    ("health_by_interval", "healthy"),
    [
        ([], False),
        ([(FAST, "ok"), (SLOW, "unknown")], True),
        ([(FAST, "unknown"), (SLOW, "ok")], False),
        ([(FAST, "ok"), (SLOW, "err")], False),
    ],
)
def test_slow_groups_may_still_have_no_evaluation(
    health_by_interval: list[tuple[int, str]],
    healthy: bool,
    monkeypatch: pytest.MonkeyPatch,
    plan: Plan,
) -> None:
    """Every rule of the fast groups is evaluated, and no rule has failed."""
    groups = [
        {"interval": interval, "rules": [{"health": health}]}
        for interval, health in health_by_interval
    ]
    monkeypatch.setattr(Prometheus, "rule_groups", lambda _: groups)
    assert readiness.rules_are_healthy(Prometheus("http://x"), plan) is healthy


def test_a_wait_that_is_not_required_only_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` goes on; a program that ends is an error all the same."""
    monkeypatch.setattr(readiness, "READY_SECONDS", 0.3)
    wait = readiness.Wait("[it] runs", lambda: False, "make logs P=api", is_required=False)
    said: list[str] = []
    readiness.wait_for_each([wait], list, Steps(said.append))
    assert "make logs P=api" in said[0]
    with failing():
        readiness.wait_for_each([wait], lambda: ["api"], Steps(said.append))


def test_a_job_that_fails_is_not_waited_for(plan: Plan) -> None:
    """Every job of `wait_for` has succeeded since the start, or has failed."""
    first, *others = plan.stack.wait_for
    last = dict.fromkeys(others, 11.0)
    failures: list[JobFailure] = []
    wait = readiness.job_wait(plan, lambda: last, lambda: failures, 10.0, "make logs P=worker")
    assert not wait.is_true()
    last[first] = 9.0
    assert not wait.is_true()
    failures.append(JobFailure(first, "node", "no access"))
    assert wait.is_true()
    failures.clear()
    last[first] = 11.0
    assert wait.is_true()
    assert not wait.is_required


def test_slos_of_failing_jobs_may_have_no_data(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    """A job that never succeeded has no series; every other SLO has one."""
    job_slo = next(slo for slo in plan.slos if slo.source == JOB_SOURCE)
    measured = {slo.name: 0.0 for slo in plan.slos if slo != job_slo}
    monkeypatch.setattr(Prometheus, "query_by_label", lambda *_: measured)
    prometheus = Prometheus("http://x")
    failures = [JobFailure(job_slo.subject, "node", "no access")]
    assert not readiness.slos_are_measured(prometheus, plan, [])
    assert readiness.slos_are_measured(prometheus, plan, failures)
    del measured["orders.list-availability"]
    assert not readiness.slos_are_measured(prometheus, plan, failures)
