"""Networks of the containers that run, compared with those that a release gives them.

Compose first stops the old containers in a changed network, and then replaces it, or fails because
others are in it. A container gets another network only when it is created again.
"""

import json
from collections.abc import Collection, Iterator

from observability.devstack import docker
from observability.devstack.compose_settings import project_name
from observability.devstack.containers import LABEL, LOOK, running, service_of
from observability.devstack.docker import output_of
from observability.devstack.mounted_files import GATEWAY
from observability.devstack.steps import StackError
from observability.lib.json_object import Json

IP_VERSION = "enable_ipv"  # in options that engines add by themselves


def require_networks(config: Json, released: Collection[str]) -> None:
    """Raise StackError when new containers of `released` services lack networks of the old stack.

    `config` is compose.yaml as Compose resolves it.
    """
    changes = [*changed_networks(config, released), *missing_networks(config, released)]
    if changes:
        raise StackError(
            f"this release changes networks ({'; '.join(changes)}), so that its containers cannot"
            " run beside the old ones; no container was changed; fix: make down && make up"
            " MODE=compose, and requests fail until it is up"
        )


def changed_networks(config: Json, released: Collection[str]) -> Iterator[str]:
    """Yield the networks of services that exist with other options."""
    filters = f"--filter=label={LABEL}project={project_name()}"
    listing = docker.run_docker("network", "ls", "--quiet", filters)
    ids = output_of(listing, "the networks cannot be listed", LOOK).split()
    if not ids:
        return
    described = docker.run_docker("network", "inspect", *ids)
    needed = {name for service in released for name in networks_of(config, service)}
    for row in json.loads(output_of(described, "the networks cannot be inspected", LOOK)):
        name = row["Labels"][LABEL + "network"]
        if name in needed and existing_options(row) != configured_options(config["networks"][name]):
            yield f"{name} has other options"


def missing_networks(config: Json, released: Collection[str]) -> Iterator[str]:
    """Yield the networks to which running containers do not belong yet, though new ones need them.

    These are containers of services on which `released` ones depend, and the gateway.
    """
    services = config["services"]
    needed = {name for service in released for name in networks_of(config, service)}
    peers = {
        peer for service in released for peer in services.get(service, {}).get("depends_on", ())
    }
    for container in running(*peers.difference(released), GATEWAY):
        service = service_of(container)
        present = container["NetworkSettings"]["Networks"]
        for name in sorted(needed.intersection(networks_of(config, service))):
            if config["networks"][name]["name"] not in present:
                yield f"{service} is not in {name} yet"


def networks_of(config: Json, service: str) -> Collection[str]:
    """Return the names of the networks of a service; none of one that is not configured."""
    return set(config["services"].get(service, {}).get("networks") or ())


def configured_options(network: Json) -> tuple[bool, bool, Json]:
    """Return what Compose would create: internal, with IPv6, and the options of the driver."""
    options = {name: str(value) for name, value in network.get("driver_opts", {}).items()}
    return network.get("internal", False), network.get("enable_ipv6", False), options


def existing_options(network: Json) -> tuple[bool, bool, Json]:
    """Return the same of a network of the engine."""
    given = network["Options"] or {}
    options = {name: value for name, value in given.items() if IP_VERSION not in name}
    return network["Internal"], network["EnableIPv6"], options
