"""A server that is none of the stack's."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

SERIES = b"""\
asked{route="a",code="201"} 3
asked{route="a",code="422"} 1
asked{route="b",code="201"} 2
"""


class Stranger(BaseHTTPRequestHandler):
    """A server of metrics at /metrics, JSON at /json and /object, and text elsewhere."""

    def do_GET(self) -> None:
        body = SERIES if self.path == "/metrics" else b"hello"
        if self.path.startswith("/json/"):
            body = b"3"
        if self.path.startswith("/object/"):
            body = b'{"alerts": 3}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def stranger() -> Iterator[str]:
    """Return the address of that server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nobody() -> str:
    """Return an address at which nothing listens."""
    return "http://127.0.0.1:9"
