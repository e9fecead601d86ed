"""Declared and present instances: containers with health checks, and programs of supervisord."""

import os
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from observability.devstack.layout import StackLayout
from observability.devstack.programs import Program
from observability.devstack.supervisor import Supervisor
from observability.slo import instances
from observability.slo.instances import SUPERVISORD, count_instances, count_programs
from tests.serving import free_port, serving
from tests.waiting import until


class Answer(BaseHTTPRequestHandler):
    """A handler that answers with the status in the path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.mark.parametrize(("status", "present"), [(200, 1), (503, 0)])
def test_healthy_instances_are_present(status: int, present: int) -> None:
    """The exporter of a container answers 503 when its program does not run."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Answer)) as server:
        declaration = f"localhost:{server.server_port}/{status}=2"
        assert [*count_instances(declaration)] == [("localhost", 2, present)]


def test_what_does_not_answer_or_resolve_is_missing() -> None:
    """Docker's DNS knows running containers alone; the native stack declares nothing."""
    mute = f"localhost:{free_port()}/health=1"
    assert [*count_instances(mute)] == [("localhost", 1, 0)]
    assert [*count_instances("gone.invalid:9101/health=1")] == [("gone", 1, 0)]
    assert instances.addresses("localhost") == ["127.0.0.1"]
    assert [*count_instances("")] == []


@pytest.fixture
def layout(tmp_path: Path) -> StackLayout:
    """Return the layout of a stack without servers."""
    return StackLayout(tmp_path, {}, tmp_path / "servers")


@pytest.fixture
def supervisor(layout: StackLayout) -> Iterator[Supervisor]:
    """Yield a supervisord with two programs that run, and one that ends at once."""
    supervisor = Supervisor(layout)
    words = {"api": ("sleep", "1000"), "worker": ("sleep", "1000"), "ends": ("false",)}
    supervisor.start([Program(name, command, 1) for name, command in words.items()])
    yield supervisor
    supervisor.stop()


def counts(layout: StackLayout, settled: float = 0.0) -> dict[str, tuple[int, int]]:
    """Return declared and present instances by program."""
    counted = count_programs(str(layout.supervisor_socket), settled)
    return {program: (declared, present) for program, declared, present in counted}


def test_programs_that_run_are_present(layout: StackLayout, supervisor: Supervisor) -> None:
    """Every program is declared; one that was stopped, or ends again and again, is missing."""
    present, missing = (1, 1), (1, 0)
    all_run = {SUPERVISORD: present, "api": present, "worker": present, "ends": missing}
    until(lambda: counts(layout) == all_run)
    supervisor.stop_program("worker")
    assert counts(layout) == all_run | {"worker": missing}
    supervisor.start_program("worker")
    assert counts(layout) == all_run
    assert counts(layout, settled=3600) == all_run | {"api": missing, "worker": missing}


def test_supervisord_is_a_program(
    layout: StackLayout, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is known about its programs while it hangs, or is gone."""
    until(supervisor.is_alive)
    pid = supervisor._rpc.getPID()
    monkeypatch.setattr(instances, "SUPERVISORD_TIMEOUT", 0.2)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert counts(layout) == {SUPERVISORD: (1, 0)}
    finally:
        os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    assert counts(layout)[SUPERVISORD] == (1, 1)
    supervisor.stop()
    assert counts(layout) == {SUPERVISORD: (1, 0)}
