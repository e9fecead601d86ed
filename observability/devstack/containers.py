"""The containers of the compose stack and their states, as the engine knows them.

No command here reads compose.yaml: it may be that of a release which does not run yet.
"""

import json
from collections.abc import Sequence

from observability.devstack import docker
from observability.devstack.compose_settings import project_name
from observability.devstack.docker import (
    NOT_FOUND,
    CompletedProcess,
    output_of,
    run_on_containers,
)
from observability.devstack.layout import StackLayout
from observability.devstack.supervisor import RUNNING
from observability.lib.json_object import Json

LABEL = "com.docker.compose."
GONE = "No such container"  # what the engine says of one that was removed meanwhile
LOOK = "make doctor, then repeat"
DONE = "DONE"
FAILED = ("EXITED", "RESTARTING", "DEAD", "UNHEALTHY")


def containers() -> list[Json]:
    """Return every container, running or not, as Compose lists it; without Docker, none.

    Raise StackError.
    """
    listing = run_on_containers("ps", "--all", "--format", "json")
    if listing.returncode == NOT_FOUND:
        return []
    text = output_of(listing, "the containers cannot be listed", LOOK)
    return [json.loads(line) for line in text.splitlines()]


def processes(_: StackLayout) -> list[Json]:
    """Return name, statename, pid and description of every container, [] when the stack is down."""
    existing = containers()
    if not any(container["State"] == "running" for container in existing):
        return []
    return [
        {
            "name": container["Service"],
            "statename": state(container),
            "pid": None,
            "description": container["Status"],
        }
        for container in existing
    ]


def state(container: Json) -> str:
    """Return RUNNING, DONE for a container that ended with code 0, else Docker's own word.

    A running container without a health check counts as healthy.
    """
    word = str(container["State"])
    health = str(container["Health"])
    if word == "running":
        return RUNNING if health in ("", "healthy") else health.upper()
    if word == "exited" and container["ExitCode"] == 0:
        return DONE
    return word.upper()


def failed_containers(layout: StackLayout) -> list[str]:
    """Return the names of the services that do not stay up."""
    return [row["name"] for row in processes(layout) if row["statename"] in FAILED]


def inspect(*services: str) -> list[Json]:
    """Return the engine's description of the containers of these services, or of all.

    Running or not. Raise StackError.
    """
    filters = {"project": project_name(), "oneoff": "False"}
    words = [f"--filter=label={LABEL}{name}={value}" for name, value in filters.items()]
    listing = docker.run_docker("ps", "--all", "--quiet", "--no-trunc", *words)
    ids = output_of(listing, "the containers cannot be listed", LOOK).split()
    return [row for row in inspect_ids(ids) if not services or service_of(row) in services]


def running(*services: str) -> list[Json]:
    """Return those of them that run."""
    return [container for container in inspect(*services) if container["State"]["Running"]]


def inspect_ids(ids: Sequence[str]) -> list[Json]:
    """Return the engine's description of containers; of a container that is gone, nothing.

    Raise StackError.
    """
    if not ids:
        return []
    result = docker.run_docker("inspect", "--type", "container", *ids)
    text = output_unless_gone(result, "the containers cannot be inspected")
    return list(json.loads(text or "[]"))


def service_of(container: Json) -> str:
    """Return the service of a container."""
    return str(container["Config"]["Labels"][LABEL + "service"])


def health_of(container: Json) -> str:
    """Return the health of a container: starting, healthy or unhealthy; none without a check."""
    return str(container["State"].get("Health", {}).get("Status", "none"))


def end(ids: Sequence[str]) -> None:
    """Stop containers as `down` does, with time for their requests and jobs, and remove them.

    Raise StackError; a container that does not stop is not removed, because it may have requests.
    """
    if ids:
        output_unless_gone(docker.run_docker("stop", *ids), "containers do not stop")
        remove(ids)


def remove(ids: Sequence[str]) -> None:
    """Remove containers, running or not; raise StackError."""
    if ids:
        removed = docker.run_docker("rm", "--force", "--volumes", *ids)
        output_unless_gone(removed, "containers cannot be removed")


def output_unless_gone(result: CompletedProcess, failure: str) -> str:
    """Return what a command on containers printed, some of which may be gone; raise StackError."""
    reasons = result.stderr.splitlines()
    if reasons and all(GONE in reason for reason in reasons):
        return result.stdout
    return output_of(result, failure, LOOK)
