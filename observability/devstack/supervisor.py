"""Keeps the stack's processes alive with supervisord, and talks to it over its socket."""

import configparser
import hashlib
import os
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from observability.devstack.layout import ROOT, StackLayout
from observability.devstack.processes import Program, clean_environment, end, leftovers

STOP_SECONDS = 25  # gunicorn's graceful time-out and a little


def socket_path(layout: StackLayout) -> Path:
    """In the temporary folder: a socket's path may have 107 characters, a checkout's may be longer."""
    digest = hashlib.sha256(str(layout.state).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"evara-{os.getuid()}-{digest}.sock"


def config_text(layout: StackLayout, programs: list[Program]) -> str:
    """supervisord's configuration; every process is restarted whenever it ends."""
    config = configparser.RawConfigParser()
    config["supervisord"] = {
        "directory": str(ROOT),
        "logfile": f"{layout.logs}/supervisord.log",
        "pidfile": f"{layout.state}/supervisord.pid",
        "childlogdir": str(layout.logs),
        "identifier": "evara",
    }
    config["unix_http_server"] = {"file": str(socket_path(layout)), "chmod": "0700"}
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for program in programs:
        config[f"program:{program.name}"] = {
            "command": " ".join(map(quote, program.command)),
            "environment": ",".join(
                f"{key}={quote(value)}" for key, value in program.environment.items()
            ),
            "priority": str(program.priority),
            "autorestart": "true",
            "startsecs": "1",
            "startretries": "100",
            "stopasgroup": "true",
            "killasgroup": "true",
            "stopwaitsecs": str(STOP_SECONDS),
            "redirect_stderr": "true",
            "stdout_logfile": f"{layout.logs}/{program.name}.log",
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": "2",
        }
    text = StringIO()
    config.write(text)
    return text.getvalue()


def quote(word: str) -> str:
    """One word of supervisor's own syntax: shell quoting, and % doubled."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


class Supervisor:
    """One site's supervisord."""

    def __init__(self, layout: StackLayout):
        self._site = layout
        self._config = layout.state / "supervisord.conf"

    @property
    def _rpc(self) -> Any:
        """A connection of its own per call: the transport cannot use one again that failed once."""
        transport = SupervisorTransport(None, None, f"unix://{socket_path(self._site)}")
        return ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def alive(self) -> bool:
        try:
            return bool(self._rpc.getState()["statename"] == "RUNNING")
        except (OSError, Fault):
            return False

    def start(self, programs: list[Program]) -> None:
        """Starts supervisord; a running one is brought to the present configuration, and starts whatever gave up."""
        text = config_text(self._site, programs)
        self._site.logs.mkdir(parents=True, exist_ok=True)
        running = self.alive()
        changed = not running or self._config.read_text(encoding="utf-8") != text
        if changed:
            self._config.touch(mode=0o600)  # it holds the prober's key
            self._config.write_text(text, encoding="utf-8")
        if not running:
            socket_path(self._site).unlink(missing_ok=True)
            command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config)]
            subprocess.run(command, check=True, cwd=ROOT, env=clean_environment(self._site))  # noqa: S603 - our own interpreter
            return
        if changed:
            added, altered, removed = self._rpc.reloadConfig()[0]
            for name in (*removed, *altered):
                self._rpc.stopProcessGroup(name)
                self._rpc.removeProcessGroup(name)
            for name in (*altered, *added):
                self._rpc.addProcessGroup(name)
        for process in self.processes():
            if process["statename"] in {"STOPPED", "EXITED", "FATAL"}:
                self._rpc.startProcess(process["name"], False)

    def processes(self) -> list[dict[str, Any]]:
        """supervisor's view of every process: name, statename, pid, start, now, description."""
        return list(self._rpc.getAllProcessInfo())

    def given_up(self) -> list[str]:
        """Programs that supervisor stopped restarting."""
        return [process["name"] for process in self.processes() if process["statename"] == "FATAL"]

    def signal(self, name: str, signal: str) -> None:
        self._rpc.signalProcess(name, signal)

    def stop(self) -> bool:
        """Stops everything and waits until it is gone; what a killed supervisord left behind goes, too. False when nothing ran."""
        family = leftovers(self._site)
        if self.alive():
            self._rpc.shutdown()  # in order: what measures goes first
            psutil.wait_procs(family, timeout=STOP_SECONDS)
        end([process for process in family if process.is_running()], STOP_SECONDS)
        socket_path(self._site).unlink(missing_ok=True)
        return bool(family)
