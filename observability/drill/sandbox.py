"""A stack of its own for one drill: other ports, a new database, the drill's clock, faults."""

import os
import socket

from observability.devstack import native
from observability.devstack.binaries import ensure_servers
from observability.devstack.database import prepare_database
from observability.devstack.guardian import Guardian, remove_stack
from observability.devstack.layout import StackLayout, servers_folder, stack_ports
from observability.devstack.ports import is_free, reserve
from observability.devstack.programs import programs
from observability.devstack.readiness import wait_until_working
from observability.devstack.scratch import ScratchFolder, abandoned_folders
from observability.devstack.server_configs import write_server_configs
from observability.devstack.steps import StackError, Steps
from observability.devstack.supervisor import Supervisor
from observability.spec.plan import Plan

PREFIX = "evara-drill-"  # of the folders
# No port of an offset is one of the main stack, or one that Linux gives to connections.
FIRST_OFFSET = 4_550
OFFSET_STEP = 100
PORT_TRIES = 40
CLAIMS: dict[int, socket.socket] = {}  # offsets of this process, until it ends


class Sandbox:
    """A running stack as a context; at its end the processes and the folder are gone.

    So they are when this process is killed: its guardian removes them, or else the next sandbox.
    Its database is new: in that of the main stack, old successes of jobs would fire alerts on the
    faster clock.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        ports = free_ports()
        for folder in abandoned_folders(PREFIX):
            remove_stack(folder)
        self._scratch = ScratchFolder(PREFIX)
        self.folder = self._scratch.path
        self._guardian = Guardian(self.folder)
        self.layout = StackLayout(self.folder, ports, servers_folder())
        self._supervisor = Supervisor(self.layout)

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
        """Start a program that was stopped."""
        self._supervisor.start_program(name)

    def stop(self, name: str) -> None:
        """Stop a program and wait for its end."""
        self._supervisor.stop_program(name)

    def is_stopped(self, name: str) -> bool:
        """Return whether a program has ended, and nothing listens on its port if it has one."""
        port = self.layout.ports.get(name)
        return self._supervisor.is_down(name) and (port is None or is_free(port))

    def _start_all(self) -> None:
        """Write the configurations, start every program and wait until all work."""
        servers = ensure_servers(self.layout.servers, lambda _: None)
        write_server_configs(self.layout, self.plan)
        prepare_database(self.layout, drill=True)
        self._supervisor.start(programs(self.layout, self.plan, servers, drill=True))
        before, after = native.waits(self.layout, self.plan, 0)
        silent = Steps(lambda _: None)
        failed_programs = self._supervisor.failed_programs
        wait_until_working(self.layout, before, after, failed_programs, silent)

    def _stop_all(self) -> None:
        """Stop every program with its children, and remove the folder."""
        self._supervisor.stop()
        self._guardian.remove_stack()
        self._scratch.remove()


def free_ports() -> dict[str, int]:
    """Return shifted ports that are all free and that no other stack claims; raise StackError.

    Stacks that start at the same time begin their search at different offsets.
    """
    for turn in range(PORT_TRIES):
        offset = FIRST_OFFSET + OFFSET_STEP * ((os.getpid() + turn) % PORT_TRIES)
        ports = stack_ports(offset)
        if all(is_free(port) for port in ports.values()) and claim(offset):
            return ports
    raise StackError(f"no free ports above {FIRST_OFFSET}; fix: stop other drills")


def claim(offset: int) -> bool:
    """Return whether the ports of an offset are this process' to use.

    A stack listens seconds after it has chosen its ports.
    """
    if offset not in CLAIMS:
        reservation = reserve(f"evara-ports-{offset}")
        if reservation:
            CLAIMS[offset] = reservation
    return offset in CLAIMS
