"""Helpers of the console's tests: read pages, deliver alerts, fill the servers."""

from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient

from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.console.conftest import KEY, FakeServers

PAGES = ("/", "/slo/orders.list-availability", "/routes/orders.list", "/alerts/TargetDown")
ENTRY = {"startsAt": "2026-01-02T03:04:05Z", "fingerprint": "f1", "status": "firing"}
NOTIFIED = {
    "status": "firing",
    "labels": {"alertname": "X", "slo": "a"},
    "annotations": {"summary": "s"},
    "startsAt": "2026-01-02T03:04:05.123456789Z",
    "fingerprint": "f1",
}


class Page(HTMLParser):
    """Text and attributes of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.text, self.tags = "", list[tuple[str, dict[str, str | None]]]()
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def all(self, tag: str, key: str) -> list[str]:
        return [
            attributes[key] or ""
            for name, attributes in self.tags
            if name == tag and key in attributes
        ]


def read(client: FlaskClient, path: str = "/", code: int = 200) -> Page:
    answer = client.get(path)
    assert answer.status_code == code, answer.text
    return Page(answer.text)


def alert(name: str, severity: str, state: str = "firing", **labels: str) -> dict[str, Any]:
    return {
        "labels": {"service": "evara-api", "alertname": name, "severity": severity, **labels},
        "state": state,
        "activeAt": "2026-01-02T03:04:05Z",
        "annotations": {"summary": "what is wrong"},
    }


def held(name: str, severity: str, state: str = "active", **labels: str) -> dict[str, Any]:
    """Return an alert as Alertmanager reports it."""
    firing = alert(name, severity, **labels)
    return {key: firing[key] for key in ("labels", "annotations")} | {
        "startsAt": ENTRY["startsAt"],
        "status": {"state": state},
    }


def deliver(client: FlaskClient, labels: dict[str, str], **changes: Any) -> None:
    labels = {"service": "evara-api"} | labels
    entry = ENTRY | {"labels": labels, "annotations": {"summary": "what was wrong"}} | changes
    body = {"receiver": "r", "alerts": [entry]}
    answer = client.post("/api/inbox", json=body, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200


def measured(servers: FakeServers, plan: Plan, *, bad: float = 0.0, total: float = 1e6) -> None:
    """Set answers with that many events for every SLO."""
    every = [slo.name for slo in plan.slos]
    servers.samples |= {
        f"count_over_time({names.MEASURED}": [
            ({"slo": name}, float(plan.period.seconds)) for name in every
        ],
        names.MEASURED: [({"slo": name}, 1.0) for name in every],
        names.error_ratio("5m"): [],
        f"increase({names.TOTAL}": [({"slo": name}, total) for name in every],
        f"increase({names.BAD}": [({"slo": name}, bad) for name in every],
    }


def notification(**changes: Any) -> dict[str, Any]:
    return {"version": "4", "receiver": "platform-page", "alerts": [NOTIFIED | changes]}
