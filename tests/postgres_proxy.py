"""A TCP proxy in front of a PostgreSQL server that cuts a connection at a chosen statement."""

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from tests.postgres_server import PostgresServer

When = Literal["before", "after"]
CHUNK = 65_536


class PostgresProxy(socketserver.ThreadingTCPServer):
    """The proxy; `cut` chooses the statement at which the next connection is lost."""

    daemon_threads = True

    def __init__(self, server: PostgresServer):
        super().__init__(("127.0.0.1", 0), Forwarder)
        self.socket_path = str(server.folder / f".s.PGSQL.{server.port}")
        self.user = server.superuser
        self._lock = threading.Lock()
        self._cut: tuple[bytes, When] | None = None

    def url(self, database: str) -> str:
        """Return the URL of a database behind the proxy; its statements are not encrypted."""
        port = self.server_address[1]
        options = "sslmode=disable&gssencmode=disable"
        return f"postgresql+psycopg://{self.user}@127.0.0.1:{port}/{database}?{options}"

    def cut(self, statement: str, when: When) -> None:
        """Cut the connection that sends this next, before or after the server executes it."""
        self._cut = statement.encode(), when

    def take_cut(self, sent: bytes) -> When | None:
        """Return when to cut a connection that sends this, once; None: not at all."""
        with self._lock:
            if not self._cut or self._cut[0] not in sent:
                return None
            _, when = self._cut
            self._cut = None
            return when


class Forwarder(socketserver.BaseRequestHandler):
    """A connection of a client."""

    server: PostgresProxy

    def handle(self) -> None:
        """Forward both directions until one side closes, or the connection is cut."""
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(self.server.socket_path)
            while True:
                readable, _, _ = select.select([self.request, upstream], [], [])
                data = readable[0].recv(CHUNK)
                if not data:
                    return
                if readable[0] is upstream:
                    self.request.sendall(data)
                    continue
                when = self.server.take_cut(data)
                if when == "before":
                    return
                upstream.sendall(data)
                if when == "after":
                    upstream.recv(CHUNK)  # the answer, which is lost
                    return


@contextmanager
def proxied(server: PostgresServer) -> Iterator[PostgresProxy]:
    """Yield a running proxy."""
    with PostgresProxy(server) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()
