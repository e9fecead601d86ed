"""The base of the small HTTP servers of a stack."""

from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from observability.spec import host_names
from observability.spec.host_names import HostNames


class GuardedHandler(BaseHTTPRequestHandler):
    """A handler that refuses unknown Host names, and logs neither requests nor lost clients."""

    hosts = HostNames()
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(explain)s\n"

    def parse_request(self) -> bool:
        """Return whether the request is to be handled; answer 400 to an unknown Host name."""
        if not super().parse_request():
            return False
        values = self.headers.get_all("Host", [])
        host = values[0].strip() if values else None
        if len(values) <= 1 and self.hosts.accepts(host, self.path):
            return True
        self.send_error(HTTPStatus.BAD_REQUEST, explain=host_names.REFUSAL)
        return False

    def send_error(self, code: int, _: str | None = None, explain: str | None = None) -> None:
        """Answer with an error that repeats nothing of the request, also not in its first line."""
        super().send_error(code, explain=explain)

    def handle(self) -> None:
        """Answer the requests of a connection; a client may leave, as at a scrape's time-out."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Log nothing: a line per request is noise."""
