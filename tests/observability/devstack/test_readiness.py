"""Waits: what they wait for, and what to read when one fails."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from observability.devstack import readiness
from observability.devstack.steps import StackError
from observability.lib.prometheus import Prometheus
from observability.spec.plan import Plan

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
