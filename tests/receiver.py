"""A webhook receiver that records deliveries and responds with a status of the test's choice."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Sent:
    """A request that arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A webhook with its URL, the deliveries so far in order, and the status of its responses."""

    url: str = ""
    status: int = 204
    status_of: dict[str, int] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    taken: list[Sent] = field(default_factory=list)  # of these, the ones answered 2xx

    def states(self) -> list[tuple[str, str]]:
        """Return node and state of the accepted deliveries, in order."""
        return [(sent.json["node"], sent.json["state"]) for sent in self.taken]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free port and yield it."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = Sent(
                dict(self.headers.items()), self.rfile.read(int(self.headers["Content-Length"]))
            )
            status = receiver.status_of.get(sent.json.get("node"), receiver.status)
            receiver.sent.append(sent)
            if status < 300:
                receiver.taken.append(sent)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/alarms"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
