"""What a stack needs of the machine."""

import os
import socket
from collections.abc import Iterator

import pytest

from observability.devstack import machine
from observability.devstack.steps import StackError


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Yield a port on which this process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_stops_the_start(taken_port: int) -> None:
    """The error has the port, its use, its owner, and the way around it."""
    reason = rf"port {taken_port} \(api\) is taken by pid {os.getpid()}.*EVARA_PORT_OFFSET"
    with pytest.raises(StackError, match=reason):
        machine.require_free_ports({"api": taken_port})
    machine.require_free_ports({})
