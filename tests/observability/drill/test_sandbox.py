"""The stack of a drill, without servers."""

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from observability.devstack.layout import HOST, ROOT, StackLayout, servers_folder, stack_ports
from observability.devstack.processes import end, leftovers
from observability.devstack.programs import Program
from observability.devstack.steps import StackError
from observability.drill import sandbox
from observability.drill.faults import StoppedPrograms
from observability.drill.sandbox import Sandbox
from observability.drill.traffic import Traffic
from observability.spec.loading import load_plan
from tests.observability.drill.support import CLOSED_URL
from tests.processes import is_running
from tests.waiting import until

PROGRAM = "worker"


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


class OneProgram(Sandbox):
    """A sandbox whose only program has a child that its end would leave behind."""

    def _start_all(self) -> None:
        command = ("sh", "-c", "sleep 600 & echo $!; wait")
        self._supervisor.start([Program(PROGRAM, command, 1)])
        log = self.layout.logs / f"{PROGRAM}.log"
        until(lambda: log.exists() and log.read_text())

    def worker(self) -> psutil.Process:
        """Return the child of the program."""
        log = self.layout.logs / f"{PROGRAM}.log"
        return psutil.Process(int(log.read_text()))


@pytest.fixture
def temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a temporary folder of the test's own; its short path leaves room for a socket's."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def test_children_end_with_the_sandbox(temporary_folder: Path) -> None:
    """Also workers whose parent has ended; the folder is deleted."""
    with OneProgram(load_plan()) as running:
        worker = running.worker()
    assert not is_running(worker)
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.usefixtures("temporary_folder")
def test_program_without_a_port_can_be_stopped_and_started() -> None:
    """The worker listens nowhere; the supervisor knows whether it runs."""
    with OneProgram(load_plan()) as running:
        assert not running.is_stopped(PROGRAM)
        fault = StoppedPrograms((PROGRAM,))
        with fault.inject(running):
            assert fault.has_effect(running, Traffic(CLOSED_URL, 1, ""))
        assert not running.is_stopped(PROGRAM)


@pytest.mark.usefixtures("temporary_folder")
def test_program_is_not_stopped_while_its_port_is_in_use() -> None:
    """A child of the program may still listen."""
    with OneProgram(load_plan()) as running:
        running.stop(PROGRAM)
        running.layout.ports[PROGRAM] = running.layout.ports["api"]
        with socket.create_server((HOST, running.layout.ports["api"])):
            assert not running.is_stopped(PROGRAM)
        assert running.is_stopped(PROGRAM)


@dataclass
class Owner:
    """A process that runs a sandbox, and every process of that sandbox."""

    process: "subprocess.Popen[str]"
    guardian: psutil.Process
    processes: list[psutil.Process]


@pytest.fixture
def owner(temporary_folder: Path) -> Iterator[Owner]:
    """Yield a running sandbox of another process."""
    code = (
        "from tests.observability.drill.test_sandbox import *\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # ignored below nohup
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # and in the background
        "with OneProgram(load_plan()) as running:\n"
        "    print(running.folder, flush=True)\n"
        "    input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        assert folder.parent == temporary_folder
        [guardian] = psutil.Process(process.pid).children()
        processes = leftovers(StackLayout(folder, {}, servers_folder()))
        assert len(processes) == 3, "supervisord, the program and its child"
        yield Owner(process, guardian, processes)
        process.kill()
        end(processes, 5)


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGKILL", "SIGINT", "SIGHUP"])
def test_a_sandbox_ends_with_its_process(
    owner: Owner, temporary_folder: Path, signal_name: str
) -> None:
    """Whatever ends the process, its stack, its guardian and its folder are gone."""
    owner.process.send_signal(signal.Signals[signal_name])
    owner.process.wait()
    for process in (*owner.processes, owner.guardian):
        until(lambda: not is_running(process), what=f"the end of {process}")  # noqa: B023
    assert list(temporary_folder.iterdir()) == []


def test_the_next_sandbox_removes_one_that_lost_its_guardian_too(
    owner: Owner, temporary_folder: Path
) -> None:
    """Processes and folder stay when both are killed, until another sandbox is made."""
    owner.guardian.kill()
    owner.process.kill()
    owner.process.wait()
    assert all(map(is_running, owner.processes))
    with OneProgram(load_plan()):
        assert not any(map(is_running, owner.processes))
    assert list(temporary_folder.iterdir()) == []


def test_a_sandbox_that_runs_is_not_removed_by_the_next(owner: Owner) -> None:
    """Its owner holds the lock of its folder."""
    with OneProgram(load_plan()):
        assert all(map(is_running, owner.processes))


def test_without_free_ports_no_folder_is_created(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The folder would stay, because there is no sandbox that removes it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sandbox, "is_free", lambda _: False)
    with pytest.raises(StackError, match="no free ports"):
        Sandbox(load_plan())
    assert list(tmp_path.iterdir()) == []
