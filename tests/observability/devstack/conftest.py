"""A stack's layout, servers, and a replacement for Docker."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from observability.devstack import compose
from observability.devstack import docker as docker_commands
from observability.devstack.binaries import LOG_SERVERS, SERVERS, Server
from observability.devstack.docker import CompletedProcess
from observability.devstack.layout import StackLayout, stack_ports
from observability.spec.plan import Plan

HEALTHY = {
    "ID": "0123456789ab",
    "Service": "api",
    "State": "running",
    "Health": "healthy",
    "ExitCode": 0,
    "Status": "Up 2 minutes (healthy)",
}


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Plan) -> StackLayout:
    """Return the layout of a stack that does not exist, with secrets of its own."""
    monkeypatch.setenv("EVARA_SECRETS_DIR", str(tmp_path / "secrets"))
    helper_ports = {name: program.port + 30_000 for name, program in plan.stack.programs.items()}
    return StackLayout(tmp_path / "state", stack_ports(30_000) | helper_ports, tmp_path / "servers")


@pytest.fixture
def servers() -> dict[str, Server]:
    """Return the servers without those of logs."""
    return {name: Server(Path("/bin") / name) for name in SERVERS}


@pytest.fixture
def all_servers(servers: dict[str, Server]) -> dict[str, Server]:
    """Return the servers with Loki and Fluent Bit."""
    return servers | {name: Server(Path("/bin") / name) for name in LOG_SERVERS}


class FakeDocker:
    """The `docker` command, with the commands that it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.commands: list[tuple[str, ...]] = []
        self.containers: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {"services": {}, "secrets": {}}
        self.reason = "because"  # of failures
        self.fails: Callable[[tuple[str, ...]], bool] = lambda _: False
        monkeypatch.setattr(docker_commands, "run_docker", self)
        monkeypatch.setattr(docker_commands.shutil, "which", lambda _: "/usr/bin/docker")
        monkeypatch.setattr(compose, "require_free_ports", lambda _: None)

    def __call__(self, *words: str, **_: object) -> CompletedProcess:
        self.commands.append(words)
        if self.fails(words):
            return CompletedProcess(words, 1, "", self.reason)
        return CompletedProcess(words, 0, self.output(words), "")

    def output(self, words: tuple[str, ...]) -> str:
        if "ps" in words:
            return "\n".join(map(json.dumps, self.containers))
        if "config" in words:
            return json.dumps(self.config)
        if "logs" in words:
            return "api-1  | a line"
        if "version" in words:
            return "2.40.3" if "compose" in words else "28.1"
        return ""

    def commands_with(self, word: str) -> list[tuple[str, ...]]:
        return [words for words in self.commands if word in words]


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    return FakeDocker(monkeypatch)
