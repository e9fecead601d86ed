"""The states of containers."""

from typing import Any

import pytest

from observability.devstack import compose, containers
from observability.devstack.layout import StackLayout
from observability.devstack.steps import StackError
from tests.observability.devstack.conftest import HEALTHY, FakeDocker


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "RUNNING"),
        ({"Health": ""}, "RUNNING"),
        ({"Health": "starting"}, "STARTING"),
        ({"Health": "unhealthy"}, "UNHEALTHY"),
        ({"State": "restarting", "Health": ""}, "RESTARTING"),
        ({"State": "exited", "Health": ""}, "DONE"),
        ({"State": "exited", "Health": "", "ExitCode": 1}, "EXITED"),
    ],
)
def test_container_states_map_to_one_word(
    change: dict[str, Any], said: str, layout: StackLayout, docker: FakeDocker
) -> None:
    """`status` shows one word for each; a container that finished its work has not failed."""
    docker.containers = [HEALTHY | {"Service": "postgres"}, HEALTHY | change]
    assert [row["statename"] for row in containers.processes(layout)] == ["RUNNING", said]
    failed = [] if said in ("RUNNING", "STARTING", "DONE") else ["api"]
    assert containers.failed_containers(layout) == failed
    doctor = {what: fine for what, fine, _ in compose.doctor(layout)}
    assert doctor["container api"] == (said in ("RUNNING", "DONE"))


def test_containers_that_are_gone_are_not_failures(docker: FakeDocker) -> None:
    """The engine reports them as errors, with an exit code."""
    docker.fails = lambda _: True
    docker.reason = "Error: No such container: gone\nError: No such container: away\n"
    assert containers.inspect_ids(["gone", "away"]) == []
    containers.end(["gone", "away"])
    docker.reason += "permission denied"
    for command in (containers.inspect_ids, containers.end, containers.remove):
        with pytest.raises(StackError, match="permission denied; fix: make doctor"):
            command(["gone", "away"])


def test_engine_that_does_not_answer_hides_no_container(
    layout: StackLayout, docker: FakeDocker
) -> None:
    """The stack may run: nobody can tell."""
    docker.fails = lambda _: True
    with pytest.raises(StackError, match="containers cannot be listed: because; fix: make doctor"):
        containers.processes(layout)
