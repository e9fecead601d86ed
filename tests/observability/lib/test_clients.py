"""Asking servers that are not there, or are something else."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from observability.lib.alertmanager import active
from observability.lib.console import inbox
from observability.lib.http import Unreachable
from observability.lib.loki import Loki
from observability.lib.prometheus import Prometheus, exposed


class Stranger(BaseHTTPRequestHandler):
    """Answers everything with words, and a request for metrics with two series of one route and one of another."""

    def do_GET(self) -> None:
        series = b'asked{route="a",code="201"} 3\nasked{route="a",code="422"} 1\nasked{route="b",code="201"} 2\n'
        body = series if self.path == "/metrics" else b"hello"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

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
    nobody = "http://127.0.0.1:9"
    for ask in (
        lambda: Prometheus(nobody).alerts(),
        lambda: inbox(nobody),
        lambda: active(nobody),
        lambda: Loki(nobody).lines("{}", 0),
    ):
        with pytest.raises(Unreachable, match="make up"):
            ask()


def test_a_stranger_on_the_port_is_unreachable(stranger: str) -> None:
    """An answer that is no Prometheus' is no answer."""
    for ask in (
        lambda: Prometheus(stranger).query("up"),
        lambda: inbox(stranger),
        lambda: active(stranger),
    ):
        with pytest.raises(Unreachable):
            ask()


def test_a_metric_is_added_up_by_a_label(stranger: str) -> None:
    """Series that differ in other labels count together, whichever stands last."""
    assert exposed(stranger, "asked", "route") == {"a": 4, "b": 2}


def test_lines_come_with_their_labels_from_whole_seconds_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loki's answer is flattened; a moment is rounded down, so that nothing after it is missed."""
    asked: list[dict[str, str]] = []
    streams = [
        {"stream": {"level": "info"}, "values": [["1", "a"], ["2", "b"]]},
        {"stream": {"level": "error"}, "values": [["3", "c"]]},
    ]

    def answer(_: Loki, path: str, **params: str) -> dict[str, object]:
        asked.append(params | {"path": path})
        return {"result": streams}

    monkeypatch.setattr(Loki, "_get", answer)
    assert Loki("http://x").lines('{service="s"}', 1.9) == [
        ({"level": "info"}, "a"),
        ({"level": "info"}, "b"),
        ({"level": "error"}, "c"),
    ]
    assert (asked[0]["path"], asked[0]["start"]) == ("/loki/api/v1/query_range", "1000000000")
