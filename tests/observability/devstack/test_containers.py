"""The states of containers."""

from typing import Any

import pytest

from observability.devstack import compose, containers
from observability.devstack.layout import StackLayout
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
