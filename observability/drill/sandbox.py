"""A stack of its own for one drill: other ports, a new database, the drill's clock, faults."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from observability.devstack import native
from observability.devstack.binaries import ensure_servers
from observability.devstack.database import prepare_database
from observability.devstack.layout import ROOT, StackLayout, servers_folder, stack_ports
from observability.devstack.ports import is_free
from observability.devstack.processes import clean_environment, end, leftovers
from observability.devstack.programs import Program, programs
from observability.devstack.readiness import wait_until_working
from observability.devstack.server_configs import write_server_configs
from observability.devstack.steps import StackError, Steps
from observability.devstack.supervisor import STOP_SECONDS
from observability.spec.plan import Plan

FIRST_OFFSET = 10_000
OFFSET_STEP = 100
PORT_TRIES = 40
CLAIMS: dict[int, socket.socket] = {}  # offsets of this process, until it ends


class Sandbox:
    """A running stack as a context; at its end the processes and the folder are gone.

    Its database is new: in that of the main stack, old successes of jobs would fire alerts on the
    faster clock.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        ports = free_ports()
        self.folder = Path(tempfile.mkdtemp(prefix="evara-drill-"))
        self.layout = StackLayout(self.folder, ports, servers_folder())
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._programs: dict[str, Program] = {}

    def __enter__(self) -> "Sandbox":
        try:
            self._start_all()
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_all()

    def start(self, name: str) -> None:
        """Start a program with its log below the layout's folder."""
        program = self._programs[name]
        with (self.layout.logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603 - our own programs
                program.command,
                cwd=ROOT,
                env=clean_environment(self.layout) | program.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, name: str) -> None:
        """Stop a program and wait for its end; kill it after STOP_SECONDS."""
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def exited(self) -> list[str]:
        """Return the names of programs that ended by themselves."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def _start_all(self) -> None:
        """Write the configurations, start every program and wait until all work."""
        servers = ensure_servers(self.layout.servers, lambda _: None)
        write_server_configs(self.layout, self.plan)
        prepare_database(self.layout, drill=True)
        for program in programs(self.layout, self.plan, servers, drill=True):
            self._programs[program.name] = program
            self.start(program.name)
        before, after = native.waits(self.layout, self.plan, 0)
        silent = Steps(lambda _: None)
        wait_until_working(self.layout, before, after, self.exited, silent)

    def _stop_all(self) -> None:
        """Stop every program with its children, and remove the folder."""
        end(leftovers(self.layout), STOP_SECONDS)
        self._running.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_ports() -> dict[str, int]:
    """Return shifted ports that are all free and that no other stack claims; raise StackError.

    Stacks that start at the same time begin their search at different offsets.
    """
    for turn in range(PORT_TRIES):
        offset = FIRST_OFFSET + OFFSET_STEP * ((os.getpid() + turn) % PORT_TRIES)
        ports = stack_ports(offset)
        if all(is_free(port) for port in ports.values()) and claim(offset):
            return ports
    raise StackError(f"no free ports above {FIRST_OFFSET}; stop other drills")


def claim(offset: int) -> bool:
    """Return whether the ports of an offset are this process' to use.

    A stack listens seconds after it has chosen its ports. The claim, an abstract socket's name,
    ends with the process.
    """
    if offset in CLAIMS:
        return True
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0evara-ports-{offset}")
    except OSError:
        name.close()
        return False
    CLAIMS[offset] = name
    return True
