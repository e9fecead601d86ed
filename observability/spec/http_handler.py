"""The base of the small HTTP servers of a stack."""

from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from observability.spec import host_names
from observability.spec.host_names import HostNames


class GuardedHandler(BaseHTTPRequestHandler):
    """A handler that refuses unknown Host names, and logs neither requests nor lost clients."""

    hosts = HostNames()

    def parse_request(self) -> bool:
        """Return whether the request is to be handled; answer 400 to an unknown Host name."""
        if not super().parse_request():
            return False
        if self.hosts.accepts(self.headers.get("Host")):
            return True
        self.send_error(HTTPStatus.BAD_REQUEST, explain=host_names.REFUSAL)
        return False

    def handle(self) -> None:
        """Answer the requests of a connection; a client may leave, as at a scrape's time-out."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Log nothing: a line per request is noise."""
