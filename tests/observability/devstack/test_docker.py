"""The Docker engine, and the environment of `docker compose`."""

import os
import subprocess
from pathlib import Path

import pytest

from observability.devstack import compose, modes
from observability.devstack import docker as docker_commands
from observability.devstack.compose_secrets import make_secrets
from observability.devstack.docker import CompletedProcess
from observability.devstack.layout import StackLayout
from tests.observability.devstack.conftest import FakeDocker


def test_missing_engine_or_plugin_is_reported(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both must respond within a timeout."""
    assert docker_commands.find_engine() == (True, "Docker 28.1, Compose 2.40.3")
    docker.fails = lambda words: words[0] == "compose"
    assert docker_commands.find_engine() == (False, "Docker has no Compose plugin")
    docker.fails = lambda _: True
    assert docker_commands.find_engine() == (False, "no Docker engine answers")

    def hang(*_: str, timeout: float) -> CompletedProcess:
        raise subprocess.TimeoutExpired("docker", timeout)

    monkeypatch.setattr(docker_commands, "run_docker", hang)
    assert docker_commands.find_engine() == (False, "the Docker engine hangs")
    monkeypatch.setattr(docker_commands.shutil, "which", lambda _: None)
    assert docker_commands.find_engine() == (False, "docker is not on PATH")


def test_a_compose_stack_without_docker_does_not_run(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands for a stack whose engine was uninstalled find nothing, and raise nothing."""
    layout.remember_mode("compose")
    monkeypatch.setenv("PATH", "")
    assert modes.choose_mode("auto", layout) == ("native", "docker is not on PATH")
    assert compose.processes(layout) == []
    assert not compose.down(layout)


@pytest.mark.parametrize(("user", "wanted"), [(0, docker_commands.USER), (1234, 1234)])
def test_containers_run_as_the_owner_of_the_secrets(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch, user: int, wanted: int
) -> None:
    """Never as root; a user that is set already, as for a rootless engine, is kept."""
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "getgid", lambda: user)
    environment = docker_commands.compose_environment(layout)
    assert (environment["EVARA_UID"], environment["EVARA_GID"]) == (str(wanted), str(wanted))
    monkeypatch.setenv("EVARA_UID", "0")
    assert docker_commands.compose_environment(layout)["EVARA_UID"] == "0"


def test_the_environment_has_ports_secrets_and_certificates(
    layout: StackLayout, tmp_path: Path
) -> None:
    """The variables are those of the stack; TLS is on when there is a certificate."""
    make_secrets(tmp_path / "secrets")
    environment = docker_commands.compose_environment(layout)
    assert (environment["EVARA_PORT_API"], environment["EVARA_PORT_GRAFANA"]) == ("38000", "33000")
    assert environment["EVARA_SECRETS_DIR"] == str(tmp_path / "secrets")
    assert environment["EVARA_GATEWAY_CERTIFICATES"] == ""
    certificate = tmp_path / "secrets" / "certificates" / "site.pem"
    certificate.write_text("a certificate and its key", encoding="utf-8")
    certificate.chmod(0o644)
    make_secrets(tmp_path / "secrets")
    with_certificate = docker_commands.compose_environment(layout)
    assert with_certificate["EVARA_GATEWAY_CERTIFICATES"] == "/certificates"
    assert certificate.stat().st_mode & 0o777 == 0o600
