"""A console whose Prometheus, Loki and Alertmanager are one server with fixed responses."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from flask import Flask
from flask.testing import FlaskClient

from observability.console.app import create_app
from observability.devstack.layout import INBOX_KEY, StackLayout, stack_ports
from observability.spec.plan import Plan

KEY = "evara_Key-Of_Alertmanager"
NOBODY = 1  # a port at which nothing answers


@dataclass
class FakeServers:
    """The data of the servers: samples by a part of the query, and alerts."""

    samples: dict[str, list[tuple[dict[str, str], float]]] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    log_alerts: list[dict[str, Any]] = field(default_factory=list)
    held: list[dict[str, Any]] | None = (
        None  # what Alertmanager holds; it does not say while there is none
    )
    queries: Counter[str] = field(default_factory=Counter)
    delay: float = 0.0
    port: int = NOBODY

    def answer(self, path: str, query: str) -> Any:
        self.queries[query or path] += 1
        time.sleep(self.delay)
        if path == "/api/v1/alerts":
            return {"alerts": self.alerts}
        if path == "/prometheus/api/v1/alerts":
            return {"alerts": self.log_alerts}
        if query == "vector(time())":
            return {"result": [{"metric": {}, "value": [time.time(), str(time.time())]}]}
        found = next((samples for part, samples in self.samples.items() if part in query), [])
        values = [(labels, str(value)) for labels, value in found]
        if path == "/api/v1/query_range":
            return {
                "result": [
                    {"metric": labels, "values": [[time.time() // 5 * 5 - 60, value]]}
                    for labels, value in values
                ]
            }
        return {
            "result": [
                {"metric": labels, "value": [time.time(), value]} for labels, value in values
            ]
        }


@pytest.fixture
def servers() -> Iterator[FakeServers]:
    """Yield the server, without samples and alerts."""
    known = FakeServers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            answer = known.answer(path, parse_qs(query).get("query", [""])[0])
            body = json.dumps(
                known.held if path == "/api/v2/alerts" else {"status": "success", "data": answer}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    known.port = server.server_port
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def layout(tmp_path: Path, servers: FakeServers) -> StackLayout:
    """Return a stack of which only Prometheus and Alertmanager answer."""
    nobody = dict.fromkeys(stack_ports(), NOBODY)
    layout = StackLayout(
        tmp_path, nobody | {"prometheus": servers.port, "alertmanager": servers.port}, tmp_path
    )
    layout.keys.mkdir()
    layout.key_file(INBOX_KEY).write_text(f"{KEY}\n", encoding="utf-8")
    return layout


@pytest.fixture
def app(layout: StackLayout, plan: Plan) -> Flask:
    """Return the console of that stack."""
    return create_app(layout, plan)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a client of that console with the key of its inbox."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {KEY}"
    return client


@pytest.fixture
def unreachable(layout: StackLayout, plan: Plan) -> FlaskClient:
    """Return a client of a console whose servers do not answer."""
    return create_app(
        replace(layout, ports=layout.ports | {"prometheus": NOBODY, "alertmanager": NOBODY}), plan
    ).test_client()
