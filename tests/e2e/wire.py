"""Requests as raw bytes on a connection, which no client library would send."""

import socket
from collections.abc import Sequence

BURST = 100


def open_connection(port: int, *parts: bytes, source: str = "127.0.0.1") -> socket.socket:
    """Return a connection to a local port on which these bytes have been sent."""
    connection = socket.create_connection(
        ("127.0.0.1", port), timeout=30, source_address=(source, 0)
    )
    for part in parts:
        connection.sendall(part)
    return connection


def read_statuses(connections: Sequence[socket.socket]) -> list[bytes]:
    """Return the status code of the response on each connection, empty if it was closed."""
    statuses = []
    for connection in connections:
        with connection:
            try:
                statuses.append(connection.recv(64)[9:12])
            except ConnectionResetError:
                statuses.append(b"")
    return statuses


def send_flood(connection: socket.socket, requests: int) -> tuple[bytes, bytes]:
    """Send many requests that the gateway answers itself, in bursts of a hundred.

    Return head and body of the last response.
    """
    for _ in range(requests // BURST):
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * BURST)
        received = b""
        while (received.count(b"HTTP/1.1 ") < BURST or not received.endswith(b"}")) and (
            more := connection.recv(65536)
        ):
            received += more
    head, _, body = received.rpartition(b"\r\n\r\n")
    return head.rpartition(b"HTTP/1.1 ")[2], body
