"""A small service with users and orders, whose paths call every parameter `id`."""

import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from observability.generate import locust
from observability.spec.loading import load_plan

CATALOGUE = """
service: shop
owner: platform
period: 30d
defaults:
  availability: 50
  latency: [{threshold: 5s, objective: 50}]
  rate_limit: 120/minute
  load: {weight: 5}
routes:
  users.create: {http: POST /users, load: {weight: 1, provides: {id: id}}, next_steps: [Look.]}
  users.get: {http: "GET /users/{id}", next_steps: [Look.]}
  users.delete: {http: "DELETE /users/{id}", load: {weight: 1, consumes: id}, next_steps: [Look.]}
  orders.create:
    http: POST /orders
    load: {weight: 1, provides: {id: id, "/invoices/{number}": id}}
    next_steps: [Look.]
  orders.get: {http: "GET /orders/{id}", next_steps: [Look.]}
  orders.delete: {http: "DELETE /orders/{id}", load: {weight: 1, consumes: id}, next_steps: [Look.]}
  invoices.get: {http: "GET /invoices/{number}", next_steps: [Look.]}
  users.copy:
    http: POST /users/{id}/copies
    load: {weight: 1, provides: {"/users/{id}": id}}
    next_steps: [Look.]
  notes.import:
    http: POST /users/{id}/notes/imports
    load: {weight: 1, provides: {"/users/{id}/notes/{note}": id}}
    next_steps: [Look.]
  notes.create:
    http: POST /users/{id}/notes
    load: {weight: 1, provides: {note: id}}
    next_steps: [Look.]
  notes.get: {http: "GET /users/{user}/notes/{note}", next_steps: [Look.]}
  notes.delete:
    http: DELETE /users/{id}/notes/{note}
    load: {weight: 1, consumes: note}
    next_steps: [Look.]
probe: {every: 5s, fresh_within: 12s, objective: 99, routes: [users.get], next_steps: [Look.]}
"""
MORE_ROUTES = """\
  teams.create:
    http: POST /teams
    load: {weight: 1, provides: {"/teams/{id}/members/{member}": id, id: id}}
    next_steps: [Look.]
  members.get: {http: "GET /teams/{id}/members/{member}", next_steps: [Look.]}
  members.delete: {http: "DELETE /teams/{id}/members/{member}", next_steps: [Look.]}
  teams.get: {http: "GET /teams/{id}", next_steps: [Look.]}
  teams.delete: {http: "DELETE /teams/{team}", next_steps: [Look.]}
  carts.create: {http: POST /carts, load: {weight: 1, provides: {id: id}}, next_steps: [Look.]}
  carts.get: {http: "GET /carts/{id}", next_steps: [Look.]}
  carts.move:
    http: PUT /carts/{id}/move
    load: {weight: 1, consumes: id, provides: {"/carts/{id}": id}}
    next_steps: [Look.]
  carts.checkout:
    http: POST /carts/{id}/checkout
    load: {weight: 1, consumes: id, provides: {"/orders/{id}": id, "/invoices/{number}": id}}
    next_steps: [Look.]
  carts.delete: {http: "DELETE /carts/{id}", next_steps: [Look.]}
"""
OPENAPI: dict[str, Any] = {
    "paths": {
        path: {
            method: {
                "requestBody": {"content": {"application/json": {"example": {"name": "A"}}}},
                "responses": {"201": {}},
            }
            if method in ("post", "put")
            else {"responses": {"204" if method == "delete" else "200": {}}}
            for method in methods
        }
        for path, methods in {
            "/users": ["post"],
            "/users/{id}": ["get", "delete"],
            "/users/{id}/copies": ["post"],
            "/users/{id}/notes/imports": ["post"],
            "/orders": ["post"],
            "/orders/{id}": ["get", "delete"],
            "/invoices/{number}": ["get"],
            "/users/{id}/notes": ["post"],
            "/users/{user}/notes/{note}": ["get"],
            "/users/{id}/notes/{note}": ["delete"],
            "/teams": ["post"],
            "/teams/{id}": ["get"],
            "/teams/{team}": ["delete"],
            "/teams/{id}/members/{member}": ["get", "delete"],
            "/carts": ["post"],
            "/carts/{id}": ["get", "delete"],
            "/carts/{id}/move": ["put"],
            "/carts/{id}/checkout": ["post"],
        }.items()
    }
}

INVOICES = ("/orders/", "/invoices/")  # each order has one with its number
ACTIONS = {"copies": "/users", "checkout": "/orders", "move": "/carts"}  # what they create
ENDINGS = ("checkout", "move")  # actions after which their cart is gone


def write_scenarios(folder: Path, edit: tuple[str, str] = ("", "")) -> Path:
    """Write catalogue and scenarios of the shop, and return the file of the scenarios."""
    catalogue = folder / "catalogue.yaml"
    text = CATALOGUE.replace("probe:", f"{MORE_ROUTES}probe:").replace(*edit)
    catalogue.write_text(text, encoding="utf-8")
    path = folder / locust.SCENARIOS
    path.write_text(locust.render(load_plan(catalogue), OPENAPI)[locust.SCENARIOS])
    return path


@dataclass
class Shop:
    """The data and requests of a running shop.

    `broken` is a method and path that answer 500, `hanging` one that does not answer.
    """

    broken: str = ""
    hanging: str = ""
    paths: set[str] = field(default_factory=set)
    created: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)  # by method and path without ids
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str) -> tuple[int, str]:
        """Return status and id of a response; a path of a parent that is gone is gone, too."""
        with self.lock:
            kind = re.sub(r"/[a-z]+-\d+", "/{}", path)
            self.requests[f"{method} {kind}"] += 1
            if f"{method} {kind}" == self.hanging:
                return 0, ""
            status, name = self.decide(method, path, kind)
            self.statuses[status] += 1
            return status, name

    def decide(self, method: str, path: str, kind: str) -> tuple[int, str]:
        parent, _, last = path.rpartition("/")
        if f"{method} {kind}" == self.broken:
            return 500, ""
        if method in ("POST", "PUT"):
            collection = (ACTIONS | {"imports": parent}).get(last, path)
            parent = parent.removesuffix("/notes")
            if parent and parent not in self.paths:
                return 404, ""
            if last in ENDINGS:
                self.remove(parent)
            return 201, self.create(collection)
        if path not in self.paths:
            return 404, ""
        if method == "GET":
            return 200, ""
        self.remove(path)
        return 204, ""

    def create(self, collection: str) -> str:
        self.created += 1
        name = f"{collection.rpartition('/')[2]}-{self.created}"
        path = f"{collection}/{name}"
        self.paths |= {path, path.replace(*INVOICES)}
        if collection == "/teams":
            self.paths.add(f"{path}/members/{name}")
        return name

    def remove(self, path: str) -> None:
        gone = (f"{path}/", f"{path}/".replace(*INVOICES))
        self.paths = {other for other in self.paths if not f"{other}/".startswith(gone)}


def shop_server(shop: Shop) -> ThreadingHTTPServer:
    """Return a server of the shop on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, name = shop.answer(self.command, self.path)
            if not status:
                self.rfile.read(1)  # until the client closes the connection
                self.close_connection = True
                return
            body = json.dumps({"id": name}).encode() if status != 204 else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = respond  # noqa: N815 - names of the standard library

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server
