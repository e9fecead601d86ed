"""Failing starts, doctor, clean and ports of the native stack; up and down run in tests/e2e."""

from collections.abc import Callable
from pathlib import Path

import pytest

from observability.devstack import layout as layouts
from observability.devstack import native
from observability.devstack.binaries import Server
from observability.devstack.layout import StackLayout, stack_ports
from observability.devstack.readiness import Wait
from observability.devstack.steps import StackError, Steps
from observability.devstack.targets import target_ports
from observability.spec.plan import Plan
from tests.observability.devstack.executables import printing


def test_doctor_accepts_a_missing_loki(
    layout: StackLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`doctor` lists the optional servers, and their ports when they take part."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    rows = {what: (fine, how) for what, fine, how in native.doctor(layout)}
    without = "not on PATH; without it logs stay in files, which is fine"
    assert rows["loki"] == rows["fluent-bit"] == (True, without)
    assert f"port {layout.ports['loki']}" not in rows
    printing(tmp_path / "loki", "loki, version 3.7.6")
    printing(tmp_path / "fluent-bit", "Fluent Bit v5.1.2")
    rows = {what: (fine, how) for what, fine, how in native.doctor(layout)}
    assert rows["loki"] == (True, str(tmp_path / "loki"))
    assert f"port {layout.ports['loki']}" in rows


def test_ports_of_loki_are_needed_with_loki_only(
    layout: StackLayout, all_servers: dict[str, Server]
) -> None:
    """Without Loki another process may listen on them."""
    ports = native.listening_ports(layout, all_servers)
    assert ports.keys() == layout.ports.keys() - set(native.COMPOSE_ONLY)
    without_loki = native.listening_ports(layout, {})
    assert ports.keys() - without_loki.keys() == {"loki", "loki_grpc"}


def test_clean_leaves_the_reports_of_another_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A second stack has its reports in its own folder."""
    monkeypatch.setattr(layouts, "ROOT", tmp_path / "code")
    second = StackLayout(tmp_path / "second", stack_ports(30_000), tmp_path / "servers")
    first = StackLayout(tmp_path / "code" / ".stack", stack_ports(31_000), tmp_path / "servers")
    for layout in (first, second):
        layout.state.mkdir(parents=True)
        (layout.reports / "run").mkdir(parents=True)
    assert native.clean(second) == [second.reports, second.state]
    assert (first.reports / "run").exists()
    assert first.state.exists()
    assert not second.state.exists()
    assert native.clean(first) == [tmp_path / "code" / "reports", first.state]


class SilentSupervisor:
    """A supervisor that starts nothing."""

    def __init__(self, _: StackLayout): ...

    def is_alive(self) -> bool:
        return False

    def stop(self) -> bool:
        return False

    def start(self, _: object) -> None: ...

    def failed_programs(self) -> list[str]:
        return []


def raise_error(error: BaseException) -> Callable[..., bool]:
    """Return a function that raises the error."""

    def function(*_: object) -> bool:
        raise error

    return function


FAILURES = {
    "a refusal": (raise_error(StackError("it does not stay up")), StackError),
    "a full disk": (raise_error(OSError(28, "No space left on device")), OSError),
    "Ctrl-C": (raise_error(KeyboardInterrupt()), KeyboardInterrupt),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("place", ["start", "wait"])
def test_a_start_that_fails_is_monitored(
    place: str,
    failure: str,
    layout: StackLayout,
    plan: Plan,
    servers: dict[str, Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever ends `up` after the first process started, Prometheus has its targets."""
    fail, error = FAILURES[failure]
    wait = Wait("it answers", fail if place == "wait" else lambda: True, "make logs")
    monkeypatch.setattr(native, "Supervisor", SilentSupervisor)
    monkeypatch.setattr(native, "require_free_ports", lambda _: None)
    monkeypatch.setattr(native, "require_valid_settings", lambda _: None)
    monkeypatch.setattr(native, "prepare_database", lambda _: None)
    monkeypatch.setattr(native.binaries, "log_servers", dict)
    monkeypatch.setattr(native.binaries, "ensure_servers", lambda *_: servers)
    monkeypatch.setattr(native, "waits", lambda *_: ([wait], []))
    if place == "start":
        monkeypatch.setattr(native, "start_programs", lambda *_, **__: fail())
        monkeypatch.setattr(native, "wait_for_each", raise_error(error()))
    with pytest.raises(error):
        native.up(layout, plan, Steps(lambda _: None))
    names = {path.stem for path in (layout.config / "targets").iterdir()}
    assert names == target_ports(layout).keys()
