"""The Docker engine, and the environment of `docker compose`."""

import subprocess

import pytest

from observability.devstack import compose, modes
from observability.devstack import docker as docker_commands
from observability.devstack.compose_settings import (
    missing_settings,
    settings_file,
    stack_settings,
    write_settings,
)
from observability.devstack.docker import CompletedProcess
from observability.devstack.layout import StackLayout
from observability.devstack.steps import StackError
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


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        (
            " Container api-1  Creating\n Container api-1  Error\nError: no space\n",
            "Error: no space",
        ),
        (" Container api-1  Error", "Container api-1  Error"),
        ("", "exit code 3"),
    ],
)
def test_reason_of_a_failure_is_not_the_progress_before_it(printed: str, reason: str) -> None:
    """Compose mixes both; without a sentence of Docker there is still one of ours."""
    failed = CompletedProcess(["docker"], 3, "", printed)
    with pytest.raises(StackError) as raised:
        docker_commands.output_of(failed, "api does not start", "make up")
    assert str(raised.value) == f"api does not start: {reason}; fix: make up"


def test_commands_work_before_there_are_settings(layout: StackLayout) -> None:
    """They get the settings that `up` would write; afterwards those of its file count."""
    assert missing_settings(layout) == stack_settings(layout)
    write_settings(layout)
    assert missing_settings(layout) == {}


def test_commands_work_with_the_settings_of_an_older_release(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as `make backup` after a checkout; what the shell sets now waits for the next `up`."""
    write_settings(layout)
    path = settings_file(layout)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    old = "".join(line for line in lines if not line.startswith("MAKE_UP_PORT_LOKI="))
    path.write_text(old, encoding="utf-8")
    monkeypatch.setenv("EVARA_REPLICAS", "4")
    assert missing_settings(layout) == {"MAKE_UP_PORT_LOKI": "33100"}
