"""Taken ports, and who listens on them."""

import os
import socket

from observability.devstack import ports


def test_the_owner_of_a_taken_port_is_named() -> None:
    """It is this process; without a listener the owner is unknown."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.port_owner(port).startswith(f"pid {os.getpid()} (")
    assert ports.is_free(port)
    assert ports.port_owner(port) == "a process of another user"
