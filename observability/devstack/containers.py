"""The containers of the compose stack and their states."""

import json

from observability.devstack.docker import EVERY_PROFILE, run_compose
from observability.devstack.layout import StackLayout
from observability.devstack.supervisor import RUNNING
from observability.lib.json_object import Json

DONE = "DONE"
FAILED = ("EXITED", "RESTARTING", "DEAD", "UNHEALTHY")


def containers(layout: StackLayout) -> list[Json]:
    """Return every container, running or not, as Docker describes it."""
    listing = run_compose(layout, *EVERY_PROFILE, "ps", "--all", "--format", "json")
    return [json.loads(line) for line in listing.stdout.splitlines()]


def processes(layout: StackLayout) -> list[Json]:
    """Return name, statename, pid and description of every container, [] when the stack is down."""
    existing = containers(layout)
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
