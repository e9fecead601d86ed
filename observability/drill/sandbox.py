"""A whole stack of its own for one drill: other ports, a new database, the drill's clock, faults allowed."""

import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from observability.devstack import native, readiness
from observability.devstack.binaries import ensure
from observability.devstack.layout import ROOT, Ports, StackLayout, servers_folder
from observability.devstack.processes import Program, configure, process_environment, programs
from observability.spec.plan import Plan

FIRST_OFFSET, STEP, TRIES = 10_000, 100, 40
STOP_SECONDS = 10


class Arena:
    """Started on entry and gone on exit, its folder included. Nothing of the main stack is carried over: its old syncs would fire here."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.folder = Path(tempfile.mkdtemp(prefix="evara-drill-"))
        self.layout = StackLayout(self.folder, free_ports(), servers_folder())
        self.holder = sqlite3.connect(":memory:")
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._programs: dict[str, Program] = {}

    def __enter__(self) -> "Arena":
        try:
            servers = ensure(self.layout.servers, lambda _: None)
            configure(self.layout, self.plan)
            native.prepare_database(self.layout)
            self._programs = {
                program.name: program
                for program in programs(self.layout, self.plan, servers, faults=True)
            }
            for program in self._programs.values():
                self.start(program.name)
            before, after = native.waits(self.layout, self.plan, 0)
            readiness.settle(self.layout, before, after, self.dead, readiness.Steps(lambda _: None))
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_all()

    def start(self, name: str) -> None:
        program = self._programs[name]
        with (self.layout.logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603 - our own programs
                program.command,
                cwd=ROOT,
                env=process_environment(program, self.layout),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, name: str) -> None:
        """Ends one program and all of its children."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def dead(self) -> list[str]:
        return [name for name, process in self._running.items() if process.poll() is not None]


def free_ports() -> Ports:
    """A shifted set of ports that are all free; stacks that start at the same time begin their search at different places."""
    for turn in range(TRIES):
        ports = Ports().shifted(FIRST_OFFSET + STEP * ((os.getpid() + turn) % TRIES))
        if all(native.is_free(port) for port in ports.named().values()):
            return ports
    raise readiness.Refused(f"no free ports above {FIRST_OFFSET}; stop other drills")
