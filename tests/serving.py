"""Servers of the standard library in threads, and free ports for other servers."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from typing import TypeVar

from observability.devstack.ports import reserve

Server = TypeVar("Server", bound=BaseServer)

PORTS = range(61_000, 65_536)  # above those that Linux gives to connections (ip_local_port_range)
CLAIMS: list[socket.socket] = []  # of this process, until it ends


def free_port() -> int:
    """Return a port that nothing uses on any local address, and that no other test gets.

    A server listens some time after its port was chosen. Until then the port is safe: the kernel
    gives connections no port of this range, and the name of an abstract socket claims it until this
    process ends.
    """
    for port in random.sample(PORTS, len(PORTS)):
        if is_unused(port) and claim(port):
            return port
    raise AssertionError(f"all ports from {PORTS.start} to {PORTS.stop - 1} are in use")


def is_unused(port: int) -> bool:
    """Return whether nothing listens on the port, on any local address."""
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def claim(port: int) -> bool:
    """Claim the port for this process; return whether nobody else has."""
    reservation = reserve(f"evara-test-port-{port}")
    if reservation:
        CLAIMS.append(reservation)
    return reservation is not None


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run the server in a thread and yield it; stop both afterwards."""
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
