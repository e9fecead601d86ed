"""Alertmanager's default receiver: keeps every delivered notification on disk, one JSON line each, and shows them.

POST /api/inbox    Alertmanager's webhook (version 4)
GET  /api/inbox    {"alerts": […]}: one entry per alert, newest first, with when it was delivered and resolved
"""

import json
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LARGEST = 4 << 20


class Inbox:
    """Delivered alerts by fingerprint and start: repeats change nothing but the counter, a resolution closes them."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._alerts: dict[tuple[str, str], dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    self._take(json.loads(line))
                except ValueError:
                    continue  # the last line of a killed process may be cut

    def deliver(self, notification: dict[str, Any]) -> None:
        """Keeps one notification: on disk first, then in sight."""
        record = {"at": time.time(), "receiver": notification.get("receiver", ""), "alerts": notification.get("alerts", [])}
        with self._lock:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        for alert in record["alerts"]:
            key = (alert.get("fingerprint", ""), alert.get("startsAt", ""))
            entry = self._alerts.setdefault(
                key,
                {
                    "labels": alert.get("labels", {}),
                    "annotations": alert.get("annotations", {}),
                    "receiver": record["receiver"],
                    "started": seconds(alert.get("startsAt")),
                    "delivered": record["at"],
                    "resolved": None,
                    "notifications": 0,
                },
            )
            entry["notifications"] += 1
            entry["annotations"] = alert.get("annotations", {})
            if alert.get("status") == "resolved" and entry["resolved"] is None:
                entry["resolved"] = record["at"]

    def alerts(self) -> list[dict[str, Any]]:
        with self._lock:
            return sorted((dict(alert) for alert in self._alerts.values()), key=lambda alert: -alert["delivered"])


def seconds(text: str | None) -> float | None:
    """RFC 3339 with any number of digits → Unix seconds."""
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def server(path: Path, host: str, port: int) -> ThreadingHTTPServer:
    """The inbox behind HTTP; the caller runs serve_forever."""
    inbox = Inbox(path)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/api/inbox"
            self.send(200 if found else 404, {"alerts": inbox.alerts()} if found else {"error": "only /api/inbox is here"})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            try:
                body = json.loads(self.rfile.read(min(length, LARGEST)))
                inbox.deliver(body)
            except (ValueError, AttributeError, TypeError):
                return self.send(400, {"error": "this is not a notification of Alertmanager"})
            return self.send(200, {"status": "kept"})

        def send(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """A line per notification stands in the inbox itself."""

    return ThreadingHTTPServer((host, port), Handler)
