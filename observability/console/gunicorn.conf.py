"""gunicorn's settings for the console: one process, because the inbox lives in its memory."""

import socket
from http import HTTPStatus

import gunicorn
from gunicorn import util

from observability.spec import redaction

redaction.protect_output()  # gunicorn's lines on bad requests may contain keys

workers = 1
threads = 8  # readers wait for Prometheus
graceful_timeout = 5
control_socket_disable = True  # there is one per user, which two stacks would share
gunicorn.SERVER = "evara"  # the Server header; there is no setting for it


def write_error(client: socket.socket, status: int, _reason: str, _detail: str) -> None:
    """Answer a request that gunicorn cannot parse; gunicorn's own page would repeat parts of it."""
    text = f"{status} {HTTPStatus(status).phrase}"
    headers = (
        f"HTTP/1.1 {text}",
        "Connection: close",
        "Content-Type: text/plain",
        "X-Content-Type-Options: nosniff",
        f"Content-Length: {len(text) + 1}",
    )
    head = "\r\n".join(headers)
    util.write_nonblock(client, f"{head}\r\n\r\n{text}\n".encode())


util.write_error = write_error
