"""Asking servers that are not there, or are something else."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from observability.clients import Prometheus, Unreachable, inbox


class Stranger(BaseHTTPRequestHandler):
    """Answers everything with words."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def stranger() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_is_gone_names_the_mend() -> None:
    """Nobody has to know what a refused connection means."""
    for ask in (lambda: Prometheus("http://127.0.0.1:9").alerts(), lambda: inbox("http://127.0.0.1:9")):
        with pytest.raises(Unreachable, match="make up"):
            ask()


def test_a_stranger_on_the_port_is_unreachable(stranger: str) -> None:
    """An answer that is no Prometheus' is no answer."""
    for ask in (lambda: Prometheus(stranger).query("up"), lambda: inbox(stranger)):
        with pytest.raises(Unreachable):
            ask()
