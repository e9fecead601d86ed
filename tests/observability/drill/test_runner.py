"""The rules by which a drill passes or fails, without servers; tests/e2e/test_drill_*.py have them."""

import json
import sqlite3
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from observability.drill import runner
from observability.drill.runner import DRILLS, AlertWatch, DrillFailed, Traffic
from observability.spec import names
from observability.spec.loading import load_plan

WANTED = DRILLS["route-errors"]
SLO = "readings.latest-availability"


def alert(name: str, state: str = "firing", **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": name, **labels}, "state": state}


def watch(*alerts: dict[str, Any]) -> AlertWatch:
    prometheus: Any = SimpleNamespace(alerts=lambda: list(alerts))
    sandbox: Any = SimpleNamespace(layout=SimpleNamespace(url=lambda _: "http://127.0.0.1:9"))
    return AlertWatch(WANTED, prometheus, sandbox)


def test_an_alert_that_was_not_wanted_fails_the_drill() -> None:
    """Anything that fires beside what must and what may is an error of the drill, or of the rules."""
    seen = watch(alert(names.BURN_ALERT, slo=SLO), alert("TargetDown"))
    with pytest.raises(DrillFailed, match="TargetDown fired"):
        seen.observe()


def test_the_watchdog_and_pending_strangers_are_no_trouble() -> None:
    """The watchdog always fires, and a pending alert has told nobody."""
    seen = watch(
        alert(names.WATCHDOG_ALERT),
        alert("TargetDown", "pending"),
        alert(names.BURN_ALERT, "pending", slo=SLO),
    )
    seen.observe()
    assert seen.seen["pending"] >= WANTED.required


def test_an_alert_that_never_comes_fails_the_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names what was awaited."""
    monkeypatch.setattr(runner, "STEP_SECONDS", 0.3)
    with pytest.raises(DrillFailed, match=f"not firing after .*{SLO}"):
        watch().wait_until("firing", lambda: False)


def test_a_fault_without_effect_fails_the_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traffic in which nothing failed proves nothing."""
    monkeypatch.setattr(runner, "EFFECT_SECONDS", 0.3)
    traffic = Traffic("http://127.0.0.1:9", 1, "")
    with pytest.raises(DrillFailed, match="no effect"):
        runner.check_effect(WANTED, watch()._sandbox, traffic)
    traffic.bad = 1
    runner.check_effect(WANTED, watch()._sandbox, traffic)


def test_a_drill_that_fails_says_why_instead_of_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in it is its verdict."""

    def fails(*_: object) -> None:
        raise DrillFailed("the fault had no effect")

    stack = SimpleNamespace(
        layout=SimpleNamespace(url=lambda _: "http://127.0.0.1:9", key=lambda _: "")
    )
    monkeypatch.setattr(runner, "Sandbox", lambda _: nullcontext(stack))
    monkeypatch.setattr(runner, "perform", fails)
    result = runner.run(WANTED, load_plan(), lambda _: None)
    assert (result.passed, result.verdict) == (False, "the fault had no effect")


def test_a_stack_that_is_not_calm_is_not_drilled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alerts before the fault, failing requests before it, and no answers at all make a drill worthless."""
    monkeypatch.setattr(runner, "STEP_SECONDS", 0.3)
    monkeypatch.setattr(runner, "BASELINE_SECONDS", 0.6)
    with pytest.raises(DrillFailed, match="not calm"):
        runner.wait_until_calm(watch(alert("TargetDown"))._prometheus)
    traffic = Traffic("http://127.0.0.1:9", 1, "")
    with pytest.raises(DrillFailed, match="no answers"):
        runner.check_baseline(watch(), traffic)
    traffic.bad = 1
    with pytest.raises(DrillFailed, match="1 failed"):
        runner.check_baseline(watch(), traffic)


def test_an_inbox_that_is_away_has_nothing_yet() -> None:
    """While the inbox is being started again, nothing is delivered and nothing is resolved."""
    assert watch().delivered() == set()
    assert not watch().resolved()


def test_the_last_time_that_an_alert_fired_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of an earlier time is never told when it fired again at once."""
    labels = {"alertname": names.BURN_ALERT, names.SLO: SLO, names.SEVERITY: "page"}
    told = [
        {"labels": labels, "started": 2.0, "resolved": None},
        {"labels": labels, "started": 1.0, "resolved": None},
    ]
    monkeypatch.setattr(runner, "fetch_delivered_alerts", lambda _: told)
    assert not watch().resolved()
    told[0]["resolved"] = 3.0
    assert watch().resolved()
    told.append({"labels": labels | {"tier": "T1"}, "started": 1.0, "resolved": None})
    assert not watch().resolved()


def test_tickets_about_budgets_linger() -> None:
    """Only burn tickets look back over days; pages must resolve."""
    assert runner.outlasts_drill({"alertname": names.BURN_ALERT, names.SEVERITY: "ticket"})
    assert not runner.outlasts_drill({"alertname": names.BURN_ALERT, names.SEVERITY: "page"})


def test_a_fault_is_a_file_that_expires(tmp_path: Path) -> None:
    """The file names route, kind and end, and mending removes it; stopped programs are started again in reverse."""
    done: list[str] = []
    layout = SimpleNamespace(fault=tmp_path / "fault.json")
    held = SimpleNamespace(close=lambda: None)
    sandbox: Any = SimpleNamespace(
        layout=layout,
        stop=lambda name: done.append(f"stop {name}"),
        start=lambda name: done.append(f"start {name}"),
        lock_holder=held,
    )
    runner.inject_fault(WANTED, sandbox)
    fault = json.loads(layout.fault.read_text())
    assert (fault["route"], fault["kind"]) == (runner.ROUTE, "error")
    assert fault["until"] > 0
    runner.undo_fault(WANTED, sandbox)
    assert not layout.fault.exists()
    runner.inject_fault(DRILLS["stop-api"], sandbox)
    runner.undo_fault(DRILLS["stop-api"], sandbox)
    assert done == ["stop api", "stop metrics", "start metrics", "start api"]


def test_a_held_file_takes_no_writes_of_others(tmp_path: Path) -> None:
    """While the drill holds it, another connection cannot write; afterwards it can."""
    row = DRILLS["hold-limiter"]
    sandbox: Any = SimpleNamespace(
        layout=SimpleNamespace(state=tmp_path, fault=tmp_path / "fault.json")
    )
    other = sqlite3.connect(tmp_path / row.locks, timeout=0)
    other.execute("CREATE TABLE counters (key TEXT)")
    runner.inject_fault(row, sandbox)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("INSERT INTO counters VALUES ('a')")
    runner.undo_fault(row, sandbox)
    other.execute("INSERT INTO counters VALUES ('a')")
    other.close()


def test_every_drill_can_be_noticed() -> None:
    """A drill breaks a route, stops something or holds a file, and has an alert that must follow."""
    for row in DRILLS.values():
        assert sum(map(bool, (row.fault, row.stops, row.locks))) == 1
        assert row.required


def test_the_catalogue_names_drills_that_exist() -> None:
    """Every symptom, and every kind of promise that is drilled, names a row of DRILLS."""
    made = load_plan()
    named = {alert.drill for alert in made.alerts if alert.drill} | set(
        made.policy.drill.by_sli.values()
    )
    assert named <= set(DRILLS)
