"""A release whose containers need other networks than those of the old stack is refused."""

import json
from typing import Any

import pytest

from observability.devstack import docker as docker_commands
from observability.devstack.containers import LABEL
from observability.devstack.docker import CompletedProcess
from observability.devstack.networks import require_networks
from observability.devstack.steps import StackError

MASQUERADE = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
Config = dict[str, dict[str, dict[str, Any]]]


class NetworkEngine:
    """An engine on which `config` runs."""

    def __init__(self, config: Config) -> None:
        self.unable = ""
        self.networks = [describe_network(name, row) for name, row in config["networks"].items()]
        self.containers = [
            describe_container(name, [config["networks"][key]["name"] for key in row["networks"]])
            for name, row in config["services"].items()
        ]

    def __call__(self, *words: str, **_: object) -> CompletedProcess:
        if self.unable and self.unable in " ".join(words):
            return CompletedProcess(words, 1, "", "no space")
        answers: dict[str, Any] = {
            "network inspect": json.dumps(self.networks),
            "network ls": " ".join(row["Name"] for row in self.networks),
            "ps --all": " ".join(row["Id"] for row in self.containers),
        }
        default = json.dumps(self.containers)
        return CompletedProcess(words, 0, answers.get(" ".join(words[:2]), default), "")


def describe_network(name: str, configured: dict[str, Any]) -> dict[str, Any]:
    """Return what the engine says of a network; newer engines add an option."""
    return {
        "Name": configured["name"],
        "Internal": configured.get("internal", False),
        "EnableIPv6": False,
        "Options": configured.get("driver_opts", {}) | {"com.docker.network.enable_ipv4": "true"},
        "Labels": {LABEL + "network": name},
    }


def describe_container(service: str, networks: list[str]) -> dict[str, Any]:
    """Return what the engine says of a container."""
    return {
        "Id": service,
        "State": {"Running": True},
        "Config": {"Labels": {LABEL + "service": service}},
        "NetworkSettings": {"Networks": {name: {} for name in networks}},
    }


@pytest.fixture
def config() -> Config:
    """Return compose.yaml of the old release, as Compose resolves it."""
    services: dict[str, dict[str, Any]] = {
        "api": {"networks": {"backend": {}, "data": {}}, "depends_on": {"postgres": {}}},
        "gateway": {"networks": {"backend": {}, "requests": {}}, "depends_on": {"api": {}}},
        "postgres": {"networks": {"data": {}}},
        "grafana": {"networks": {"requests": {}}},
    }
    options: dict[str, dict[str, Any]] = {
        "backend": {"internal": True},
        "data": {"internal": True},
        "requests": {"driver_opts": MASQUERADE},
    }
    networks = {name: row | {"name": f"evara_{name}"} for name, row in options.items()}
    return {"services": services, "networks": networks}


@pytest.fixture
def engine(config: Config, monkeypatch: pytest.MonkeyPatch) -> NetworkEngine:
    engine = NetworkEngine(config)
    monkeypatch.setattr(docker_commands, "run_docker", engine)
    return engine


@pytest.mark.usefixtures("engine")
def test_unchanged_networks_are_accepted(config: Config) -> None:
    """So is a new one that only the new containers need, and one of a service beside them."""
    require_networks(config, ["api"])
    config["networks"]["egress"] = {"name": "evara_egress"}
    config["services"]["api"]["networks"]["egress"] = {}
    config["services"]["grafana"]["networks"]["egress"] = {}
    config["networks"]["requests"] = {"name": "evara_requests"}
    config["networks"]["replica"] = {"name": "evara_replica"}
    config["services"]["postgres"]["networks"]["replica"] = {}
    require_networks(config, ["api"])


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("name", "options"),
    [("data", {}), ("backend", {"internal": True, "driver_opts": MASQUERADE})],
)
def test_changed_network_is_refused(config: Config, name: str, options: dict[str, Any]) -> None:
    """Compose would stop everything in it."""
    config["networks"][name] = options | {"name": f"evara_{name}"}
    sentence = rf"networks \({name} has other options\).*no container was changed; fix: make down"
    with pytest.raises(StackError, match=sentence):
        require_networks(config, ["api"])


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("peer", ["postgres", "gateway"])
def test_network_that_the_old_stack_lacks_is_refused(config: Config, peer: str) -> None:
    """The new containers would not reach the database, nor the gateway them."""
    config["networks"]["other"] = {"name": "evara_other"}
    for service in ("api", peer):
        config["services"][service]["networks"]["other"] = {}
    with pytest.raises(StackError, match=rf"\({peer} is not in other yet\)"):
        require_networks(config, ["api"])


@pytest.mark.parametrize("unable", ["network ls", "network inspect", "ps --all", "inspect --type"])
def test_engine_that_does_not_answer_is_reported(
    config: Config, engine: NetworkEngine, unable: str
) -> None:
    """Its silence does not mean that the networks fit."""
    engine.unable = unable
    with pytest.raises(StackError, match="no space; fix: make doctor"):
        require_networks(config, ["api"])
