"""Faults are injected, have an effect and are undone, without servers."""

import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from observability.drill import DrillFailed
from observability.drill.alerts import STEP_SECONDS
from observability.drill.faults import (
    EXPIRY_SECONDS,
    LockedDatabase,
    RouteFault,
    StoppedPrograms,
)
from observability.drill.runner import EFFECT_SECONDS
from observability.drill.traffic import Traffic
from tests.observability.drill.support import CLOSED_URL


def sandbox_in(folder: Path, **more: Any) -> Any:
    return SimpleNamespace(
        layout=SimpleNamespace(state=folder, fault=folder / "fault.json", **more)
    )


def test_a_route_fault_is_a_file_that_expires(tmp_path: Path) -> None:
    """The file names route, kind and end, and its removal undoes the fault."""
    sandbox = sandbox_in(tmp_path)
    with RouteFault("error", "orders.list").inject(sandbox):
        fault = json.loads(sandbox.layout.fault.read_text())
        assert (fault["route"], fault["kind"]) == ("orders.list", "error")
        assert fault["until"] > 0
    assert not sandbox.layout.fault.exists()


def test_route_fault_lasts_until_it_is_undone() -> None:
    """Its expiry allows for its effect and for pending, firing and delivered."""
    assert EXPIRY_SECONDS > EFFECT_SECONDS + 3 * STEP_SECONDS


def test_route_fault_is_noticed_by_callers() -> None:
    """Failed requests, or requests that take as long as the delay."""
    traffic = Traffic(CLOSED_URL, 1, "")
    sandbox: Any = None
    errors, slow = RouteFault("error", "orders.list"), RouteFault("slow", "orders.list", 1.2)
    traffic.failed, traffic.slowest = 0, 1.3
    assert not errors.has_effect(sandbox, traffic)
    assert slow.has_effect(sandbox, traffic)
    traffic.failed, traffic.slowest = 1, 1.1
    assert errors.has_effect(sandbox, traffic)
    assert not slow.has_effect(sandbox, traffic)


def test_stopped_programs_start_in_reverse_order() -> None:
    """The program that others need is stopped first and started last."""
    calls: list[str] = []
    sandbox: Any = SimpleNamespace(
        stop=lambda name: calls.append(f"stop {name}"),
        start=lambda name: calls.append(f"start {name}"),
    )
    with StoppedPrograms(("api", "metrics")).inject(sandbox):
        assert calls == ["stop api", "stop metrics"]
    assert calls[2:] == ["start metrics", "start api"]


def test_stopped_programs_have_an_effect_once_all_are_stopped() -> None:
    """Callers notice the API alone; whether any other program runs, the sandbox knows."""
    traffic = Traffic(CLOSED_URL, 1, "")
    stopped: set[str] = set()
    sandbox: Any = SimpleNamespace(is_stopped=stopped.__contains__)
    fault = StoppedPrograms(("worker", "replay"))
    assert not fault.has_effect(sandbox, traffic)
    stopped.add("worker")
    assert not fault.has_effect(sandbox, traffic)
    stopped.add("replay")
    assert fault.has_effect(sandbox, traffic)
    assert not StoppedPrograms(("api", "metrics")).has_effect(sandbox, traffic)
    traffic.failed = 1
    assert StoppedPrograms(("api", "metrics")).has_effect(sandbox, traffic)


def test_missing_database_is_not_held(tmp_path: Path) -> None:
    """SQLite would create the file, which nothing in the stack uses."""
    fault = LockedDatabase("limits.db")
    with (
        pytest.raises(DrillFailed, match=r"the stack has no .*limits\.db"),
        fault.inject(sandbox_in(tmp_path)),
    ):
        pass
    assert not (tmp_path / fault.file).exists()


def test_locked_database_refuses_writes(tmp_path: Path) -> None:
    """When the fault is undone, another connection can write."""
    fault = LockedDatabase("limits.db")
    other = sqlite3.connect(tmp_path / fault.file, timeout=0)
    other.execute("CREATE TABLE counters (key TEXT)")
    with (
        fault.inject(sandbox_in(tmp_path)),
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("INSERT INTO counters VALUES ('a')")
    other.execute("INSERT INTO counters VALUES ('a')")
    other.close()
