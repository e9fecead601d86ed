"""Requests as bytes on a connection, as no client library would send them."""

import socket
from collections.abc import Sequence

BURST = 100


def connected(port: int, *parts: bytes, source: str = "127.0.0.1") -> socket.socket:
    """A connection to a port of this machine, on which these bytes have been sent."""
    connection = socket.create_connection(
        ("127.0.0.1", port), timeout=30, source_address=(source, 0)
    )
    for part in parts:
        connection.sendall(part)
    return connection


def statuses(connections: Sequence[socket.socket]) -> list[bytes]:
    """What comes first on each connection.

    The status of an answer, or nothing where it was closed.
    """
    found = []
    for connection in connections:
        with connection:
            try:
                found.append(connection.recv(64)[9:12])
            except ConnectionResetError:
                found.append(b"")
    return found


def flooded(connection: socket.socket, requests: int) -> tuple[bytes, bytes]:
    """Head and body of the last answer to so many requests, which the gateway answers itself.

    Sent in bursts of a hundred.
    """
    for _ in range(requests // BURST):
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * BURST)
        seen = b""
        while (seen.count(b"HTTP/1.1 ") < BURST or not seen.endswith(b"}")) and (
            more := connection.recv(65536)
        ):
            seen += more
    head, _, body = seen.rpartition(b"\r\n\r\n")
    return head.rpartition(b"HTTP/1.1 ")[2], body
