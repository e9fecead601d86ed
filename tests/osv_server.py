"""A server with the API of OSV that knows the advisories of the test's choice."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from observability.audit.advisories import VULNERABLE
from tests.serving import serving

Advisory = dict[str, Any]


def advisory(
    ecosystem: str, name: str, version: str, *ids: str, fixed: str = "", **others: Any
) -> Advisory:
    """Return a record in OSV's format: its id and aliases, one affected release, and the fix."""
    events = [{"introduced": "0"}]
    if fixed:
        events.append({"fixed": fixed})
    affected = {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
        "versions": [version],
    }
    record = {"schema_version": "1.7.0", "id": ids[0], "aliases": list(ids[1:])}
    return record | {"summary": f"a hole in {name}", "affected": [affected]} | others


class OsvServer(ThreadingHTTPServer):
    """Answers `POST /v1/query` with one advisory per page.

    It knows of the releases that everybody knows to be vulnerable, unless `knows_nothing`.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), OsvHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.advisories: list[Advisory] = []
        self.queries: list[tuple[str, str, str]] = []  # ecosystem, name, version
        self.knows_nothing = False
        self.raw = b""  # the answer to everything, when it is set
        self.status = 200

    def matching(self, query: Advisory) -> list[Advisory]:
        """Return the advisories of the package and version of a query."""
        if self.knows_nothing:
            return []
        package, version = query["package"], query["version"]
        known = list(self.advisories)
        for name, vulnerable in VULNERABLE.values():
            known.append(advisory(package["ecosystem"], name, vulnerable, "KNOWN-1", fixed="99"))
        return [
            record
            for record in known
            for affected in record["affected"]
            if affected["package"] == package and version in affected["versions"]
        ]


class OsvHandler(BaseHTTPRequestHandler):
    """One request."""

    server: OsvServer

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        package = query["package"]
        page = int(query.get("page_token", 0))
        if not page:
            triple = (package["ecosystem"], package["name"], query["version"])
            self.server.queries.append(triple)
        records = self.server.matching(query)
        answer: dict[str, Any] = {}
        if records:
            answer["vulns"] = [records[page]]
        if page + 1 < len(records):
            answer["next_page_token"] = str(page + 1)
        body = self.server.raw or json.dumps(answer).encode()
        self.send_response(self.server.status if self.path == "/v1/query" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def osv_server() -> Iterator[OsvServer]:
    """Run a server on a free port and yield it."""
    with serving(OsvServer()) as server:
        yield server
