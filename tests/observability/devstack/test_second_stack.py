"""A second stack with the documented variables shares nothing of this machine with the first."""

import json
import os
import re
import shutil
import subprocess

import pytest

from observability.devstack.binaries import Server
from observability.devstack.compose_settings import files_folder, settings_file, stack_settings
from observability.devstack.layout import COMPOSE, NATIVE, ROOT, StackLayout
from observability.devstack.programs import programs
from observability.devstack.supervisor import config_text, environment_text
from observability.lib.json_object import Json

OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
COMMANDS = {
    NATIVE: r"beside the first: `([A-Z].*) make up`",
    COMPOSE: r"\*Second stack\*: `([A-Z].*) make up MODE=compose`",
}


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> StackLayout:
    """Return the layout of a stack without settings, which this process now describes."""
    for name in [name for name in os.environ if name.startswith(("EVARA_", "COMPOSE_"))]:
        monkeypatch.delenv(name)
    return StackLayout.main()


def second_stack(monkeypatch: pytest.MonkeyPatch, mode: str) -> StackLayout:
    """Set the documented variables of a second stack, and return its layout."""
    [words] = re.findall(COMMANDS[mode], OPERATIONS)
    for word in words.split():
        name, _, value = word.partition("=")
        monkeypatch.setenv(name, value)
    return StackLayout.main()


def compose_config(layout: StackLayout) -> Json:
    """Return all services as Compose resolves them with the settings that `make up` computes."""
    words = ["docker", "compose", "--profile", "*", "config", "--format", "json"]
    environment = os.environ | stack_settings(layout) | {"EVARA_STACK_DIR": str(layout.state)}
    result = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def resources(layout: StackLayout, config: Json) -> set[str]:
    """Return what a compose stack needs of this machine: names, ports, images and paths."""
    services = config["services"]
    parts = [*config["volumes"].values(), *config["networks"].values()]
    needed = {part["name"] for part in parts} | {f"{config['name']}-{name}" for name in services}
    needed |= {secret["file"] for secret in config["secrets"].values()}
    needed |= {str(path) for path in (layout.state, settings_file(layout), files_folder(layout))}
    for service in services.values():
        needed |= {f"port {port['published']}" for port in service.get("ports", ())}
        binds = [volume for volume in service.get("volumes", ()) if volume["type"] == "bind"]
        needed |= {volume["source"] for volume in binds}
        if service.get("pull_policy") == "never":  # else others make the image
            needed.add(service["image"])
        if service["logging"]["driver"] == "fluentd":
            needed.add(service["logging"]["options"]["fluentd-address"])
    return needed


def named_ports(text: str, layout: StackLayout) -> set[str]:
    """Return the ports of a stack that a text names."""
    return set(re.findall(r"\d+", text)) & {str(port) for port in layout.ports.values()}


def test_compose_stacks_share_nothing(monkeypatch: pytest.MonkeyPatch, first: StackLayout) -> None:
    """Neither a port, container, network, volume or file, nor an image of its own code."""
    if not shutil.which("docker"):
        pytest.skip("docker compose is not installed")
    first_needs = resources(first, compose_config(first))
    second = second_stack(monkeypatch, COMPOSE)
    second_needs = resources(second, compose_config(second))
    assert len(first_needs) == len(second_needs) > 80
    assert first_needs & second_needs == set()


def test_native_stacks_share_nothing(
    monkeypatch: pytest.MonkeyPatch, first: StackLayout, all_servers: dict[str, Server]
) -> None:
    """Neither a port nor a file that a process writes."""
    second = second_stack(monkeypatch, NATIVE)
    started = programs(second, second.plan(NATIVE), all_servers)
    text = config_text(second, started) + "".join(map(environment_text, started))
    assert named_ports(text, second)
    assert named_ports(text, first) == set()
    assert str(second.state) in text
    assert str(first.state) not in text
    assert first.supervisor_socket != second.supervisor_socket
    assert not second.reports.is_relative_to(ROOT)
    assert set(first.ports.values()).isdisjoint(second.ports.values())
