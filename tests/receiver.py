"""A webhook receiver for tests: remembers what it was sent, and answers what the test wants."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Sent:
    """One request that arrived."""

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
    """A webhook: its address, the deliveries so far in order, and the status it answers with."""

    url: str = ""
    status: int = 204
    status_of: dict[str, int] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    taken: list[Sent] = field(default_factory=list)  # of these, the ones answered 2xx

    def states(self) -> list[tuple[str, str]]:
        """Node and state of what was taken, in order."""
        return [(sent.json["node"], sent.json["state"]) for sent in self.taken]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = Sent(
                dict(self.headers.items()), self.rfile.read(int(self.headers["Content-Length"]))
            )
            status = made.status_of.get(sent.json.get("node"), made.status)
            made.sent.append(sent)
            if status < 300:
                made.taken.append(sent)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}/alarms"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
