"""The stack of a drill, without servers."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from observability.devstack.layout import stack_ports
from observability.devstack.programs import Program
from observability.devstack.steps import StackError
from observability.drill import sandbox
from observability.drill.sandbox import Sandbox
from observability.spec.loading import load_plan
from tests.waiting import until


def test_no_port_of_a_sandbox_is_used_by_the_main_stack_or_by_a_connection() -> None:
    """Linux gives ports of ip_local_port_range to connections at any moment."""
    path = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first_of_connections = int(path.read_text(encoding="utf-8").split()[0])
    main = set(stack_ports().values())
    for turn in range(sandbox.PORT_TRIES):
        ports = set(stack_ports(sandbox.FIRST_OFFSET + sandbox.OFFSET_STEP * turn).values())
        assert max(ports) < first_of_connections
        assert not ports & main


def test_sets_with_a_taken_port_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a free set there is no sandbox."""
    first = stack_ports(sandbox.FIRST_OFFSET)
    second = stack_ports(sandbox.FIRST_OFFSET + sandbox.OFFSET_STEP)
    monkeypatch.setattr(sandbox.os, "getpid", lambda: 0)
    monkeypatch.setattr(sandbox, "claim", lambda _: True)  # another stack may run beside the tests
    monkeypatch.setattr(sandbox, "is_free", lambda port: port != first["console"])
    assert sandbox.free_ports() == second
    monkeypatch.setattr(sandbox, "is_free", lambda _: False)
    with pytest.raises(StackError, match="no free ports"):
        sandbox.free_ports()


def test_chosen_ports_are_reserved() -> None:
    """Other stacks skip them even before anything listens on them."""
    choose = "import os; from observability.drill import sandbox; os.getpid = lambda: {}; "
    hold = "print(sandbox.free_ports()['api'], flush=True); input()"
    command = [sys.executable, "-c", choose.format(17) + hold]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as two,
    ):
        assert one.stdout
        assert two.stdout
        chosen = {one.stdout.readline(), two.stdout.readline()}
        one.kill()
        two.kill()
    assert len(chosen) == 2
    assert all(chosen)


def test_children_end_with_the_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also workers whose parent has ended; the folder is deleted."""
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path))

    class OneProgram(Sandbox):
        def _start_all(self) -> None:
            command = ("sh", "-c", "sleep 60 & echo $!; wait")
            self._supervisor.start([Program("api", command, 1)])

    with OneProgram(load_plan()) as running:
        log = running.layout.logs / "api.log"
        until(lambda: log.exists() and log.read_text())
        worker = psutil.Process(int(log.read_text()))
    assert not worker.is_running()
    assert not running.folder.exists()


def test_without_free_ports_no_folder_is_created(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The folder would stay, because there is no sandbox that removes it."""
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sandbox, "is_free", lambda _: False)
    with pytest.raises(StackError, match="no free ports"):
        Sandbox(load_plan())
    assert list(tmp_path.iterdir()) == []
