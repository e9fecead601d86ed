"""supervisord, which keeps the native stack's processes alive, and its client."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from observability.devstack import with_environment
from observability.devstack.layout import ROOT, StackLayout
from observability.devstack.private_files import PRIVATE, write_private
from observability.devstack.processes import clean_environment, end, leftovers
from observability.devstack.programs import Program
from observability.lib.json_object import Json

STOP_SECONDS = 25  # gunicorn's graceful time-out and a little
ENVIRONMENT_FILE = "EVARA_ENVIRONMENT_FILE"  # variable of a program that reloads
RUNNING = "RUNNING"
DOWN = ("STOPPED", "EXITED", "FATAL")

SUPERVISORD = """\
[supervisord]
directory = {root}
logfile = {logs}/supervisord.log
pidfile = {state}/supervisord.pid
childlogdir = {logs}
identifier = evara
umask = {umask:03o}

[unix_http_server]
file = {socket}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

"""

PROGRAM = """\
[program:{name}]
command = {command}
environment = {environment}
priority = {priority}
autorestart = true
startsecs = 1
startretries = 10000
stopasgroup = true
killasgroup = true
stopwaitsecs = {stop_seconds}
redirect_stderr = true
stdout_logfile = {logs}/{name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 2

"""


def config_text(layout: StackLayout, programs: list[Program]) -> str:
    """Return supervisord's configuration; it restarts every process that ends."""
    text = SUPERVISORD.format(
        root=ROOT,
        logs=layout.logs,
        state=layout.state,
        socket=layout.supervisor_socket,
        umask=PRIVATE,
    )
    for program in programs:
        path = str(environment_path(layout, program))
        command = program.command
        if not program.reloads:
            digest = hashlib.sha256(environment_text(program).encode()).hexdigest()
            command = (sys.executable, "-m", with_environment.__name__, path, digest, *command)
        text += PROGRAM.format(
            name=program.name,
            command=" ".join(map(quote, command)),
            environment=f"{ENVIRONMENT_FILE}={quote(path)}" if program.reloads else "",
            priority=program.priority,
            logs=layout.logs,
            stop_seconds=STOP_SECONDS,
        )
    return text


def environment_path(layout: StackLayout, program: Program) -> Path:
    """Return the file with the environment of a program, which only its owner may read."""
    return layout.state / f"{program.name}.environment.json"


def environment_text(program: Program) -> str:
    return json.dumps(program.environment, indent=1, sort_keys=True)


def quote(word: str) -> str:
    """Return a word of a command in supervisor's own syntax: shell quoting, % doubled."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


class Supervisor:
    """The supervisord of one stack."""

    def __init__(self, layout: StackLayout):
        self._layout = layout
        self._socket = layout.supervisor_socket
        self._config = layout.state / "supervisord.conf"

    @property
    def _rpc(self) -> Any:
        """A new connection per call, because the transport cannot use one again that failed."""
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def is_alive(self) -> bool:
        try:
            return bool(self._rpc.getState()["statename"] == RUNNING)
        except (OSError, Fault):
            return False

    def start(self, programs: list[Program]) -> None:
        """Start supervisord with its programs, or bring a running one up to date."""
        self._layout.logs.mkdir(parents=True, exist_ok=True)
        changed = self._write_environments(programs)
        write_private(self._config, config_text(self._layout, programs))
        if not self.is_alive():
            self._start_supervisord()
            return
        self.reload(changed)
        # Also when the file has not changed: an earlier run may have been interrupted here.
        self._apply_config()
        self._start_stopped()

    def _write_environments(self, programs: list[Program]) -> set[str]:
        """Write the file of each program; return the names of those that reload a change."""
        changed = set()
        for program in programs:
            path = environment_path(self._layout, program)
            if write_private(path, environment_text(program)) and program.reloads:
                changed.add(program.name)
        return changed

    def _start_supervisord(self) -> None:
        self._socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config)]
        environment = clean_environment(self._layout)
        subprocess.run(  # noqa: S603 - our own
            command,
            check=True,
            cwd=ROOT,
            env=environment,
            umask=PRIVATE,
            stdout=subprocess.DEVNULL,  # it would quote the configuration
            stderr=subprocess.DEVNULL,
        )

    def _apply_config(self) -> None:
        """Replace the programs that differ in the new configuration."""
        added, changed, removed = self._rpc.reloadConfig()[0]
        for name in (*removed, *changed):
            self._rpc.stopProcessGroup(name)
            self._rpc.removeProcessGroup(name)
        for name in (*changed, *added):
            self._rpc.addProcessGroup(name)

    def _start_stopped(self) -> None:
        """Start the programs that do not run, also those that supervisor gave up."""
        for process in self.processes():
            if process["statename"] in DOWN:
                self._rpc.startProcess(process["name"], False)

    def processes(self) -> list[Json]:
        """Return name, statename, pid, start, now and description of every process."""
        return list(self._rpc.getAllProcessInfo())

    def failed_programs(self) -> list[str]:
        """Return the names of the programs that supervisor no longer restarts."""
        return [process["name"] for process in self.processes() if process["statename"] == "FATAL"]

    def is_down(self, name: str) -> bool:
        """Return whether a program of this stack does not run."""
        return any(one["name"] == name and one["statename"] in DOWN for one in self.processes())

    def start_program(self, name: str) -> None:
        """Start one program and wait until it runs."""
        self._rpc.startProcess(name)

    def stop_program(self, name: str) -> None:
        """Stop one program and wait for its end; it stays stopped."""
        self._rpc.stopProcess(name)

    def reload(self, names: set[str]) -> None:
        """Make those of the programs that run read their configuration again."""
        for process in self.processes():
            if process["name"] in names and process["statename"] == RUNNING:
                self._rpc.signalProcess(process["name"], "HUP")

    def stop(self) -> bool:
        """Stop everything and wait until it has ended; return False when nothing ran.

        Processes that a killed supervisord left behind are stopped, too.
        """
        processes = leftovers(self._layout)
        if self.is_alive():
            self._rpc.shutdown()  # in reverse order of priority
            psutil.wait_procs(processes, timeout=STOP_SECONDS)
        end([process for process in processes if process.is_running()], STOP_SECONDS)
        self._socket.unlink(missing_ok=True)
        return bool(processes)
