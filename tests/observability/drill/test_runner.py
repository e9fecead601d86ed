"""The rules by which a drill passes or fails, without servers."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from observability.drill import DrillFailed, runner
from observability.drill.faults import RouteFault
from observability.drill.traffic import THREADS, Traffic, until_next_turn
from observability.spec.loading import load_plan
from tests.observability.drill.support import (
    CLOSED_URL,
    ROUTE_ERRORS,
    FakePrometheus,
    alert,
    watch,
)


def test_a_fault_without_effect_fails_the_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traffic in which nothing failed proves nothing."""
    monkeypatch.setattr(runner, "EFFECT_SECONDS", 0.3)
    traffic = Traffic(CLOSED_URL, 1, "")
    sandbox: Any = None
    with pytest.raises(DrillFailed, match="no effect"):
        runner.check_effect(ROUTE_ERRORS, sandbox, traffic)
    traffic.failed = 1
    runner.check_effect(ROUTE_ERRORS, sandbox, traffic)


def test_the_error_of_a_failed_drill_is_its_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drill that fails raises nothing, and does not pass."""

    def fail(*_: object) -> None:
        raise DrillFailed("the fault had no effect")

    layout = SimpleNamespace(url=lambda _: CLOSED_URL, key=lambda _: "")
    sandbox = SimpleNamespace(layout=layout)
    monkeypatch.setattr(runner, "Sandbox", lambda _: nullcontext(sandbox))
    monkeypatch.setattr(runner, "perform", fail)
    result = runner.run(ROUTE_ERRORS, load_plan(), "/orders", lambda _: None)
    assert (result.passed, result.verdict) == (False, "the fault had no effect")


def test_unhealthy_stack_is_not_drilled(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alert before the fault, failed requests, or no responses fail the drill."""
    monkeypatch.setattr(runner, "STEP_SECONDS", 0.3)
    monkeypatch.setattr(runner, "BASELINE_SECONDS", 0.6)
    prometheus: Any = FakePrometheus(alert("TargetDown"))
    with pytest.raises(DrillFailed, match="not calm"):
        runner.wait_until_calm(prometheus)
    traffic = Traffic(CLOSED_URL, 1, "")
    with pytest.raises(DrillFailed, match="no answers"):
        runner.check_baseline(watch(), traffic)
    traffic.failed = 1
    with pytest.raises(DrillFailed, match="1 failed"):
        runner.check_baseline(watch(), traffic)


@pytest.mark.parametrize("delay", [0.2, 1.2, 2.4, 6.0])
def test_threads_do_not_queue_for_a_slow_route(delay: float) -> None:
    """Each thread has its response before its next turn, so that responses come evenly."""
    rate = runner.request_rate(RouteFault("slow", "orders.list", delay))
    assert delay < THREADS / rate
    assert rate <= runner.RATE == runner.request_rate(RouteFault("error", "orders.list"))


def test_thread_that_missed_its_turn_waits_for_the_next() -> None:
    """Its turns stay where they were, apart from those of the other threads."""
    assert until_next_turn(0.5, 2.0) == 1.5
    assert until_next_turn(2.0, 2.0) == 2.0
    assert until_next_turn(5.5, 2.0) == 0.5
