"""Helpers that many tests of the API use."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from api.models import Reading
from api.platform.clock import now
from api.platform.keys import digest_of
from api.platform.state import app_state
from api.platform.tables import SCOPES, ApiKey, DeadLetter, Delivery
from api.services.sync import synced_since
from tests.contract_validation import mismatch

# Of the keys that the fixtures store, by scope; the client below uses admin.
KEYS = {scope: f"evara_{scope:-<43}" for scope in SCOPES}
UNLIMITED = f"evara_{'unlimited':-<43}"
NODE = {"id": "tank-01", "name": "Roof tank", "kind": "water_tank"}
NODES = "/api/v1/nodes"
READINGS = f"{NODES}/tank-01/readings"
LIMITS = {"below": 0.5, "above": 3.0}  # of the level of an alarmed node
LOW, FINE, HIGH = 0.2, 1.5, 4.0  # levels below, within and above them
BASE = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12)


class KeyedClient(FlaskClient):
    """A client that sends an admin key by default and checks each answer against the contract."""

    holds_contract = True  # a test of undocumented answers switches it off

    def __init__(self, *args: Any, **words: Any):
        super().__init__(*args, **words)
        self.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {KEYS['admin']}"

    def open(self, *args: Any, **words: Any) -> TestResponse:
        answer = super().open(*args, **words)
        if self.holds_contract:
            request = answer.request
            wrong = mismatch(self.application, request.method, request.path, answer)
            assert wrong is None, f"the answer breaks the contract: {wrong}"
        return answer


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def store_keys(session: Session) -> None:
    """Store a limited key of every scope, and an unlimited one of admin, without audit entries."""
    keys = [(scope, scope, token, False) for scope, token in KEYS.items()]
    keys.append(("unlimited", "admin", UNLIMITED, True))
    rows = [
        {
            "id": name,
            "scope": scope,
            "digest": digest_of(token),
            "unlimited": unlimited,
            "name": "of tests",
            "created_at": now(),
        }
        for name, scope, token, unlimited in keys
    ]
    session.execute(insert(ApiKey.__table__), rows)


def at(second: float) -> str:
    """Return the time so many seconds after BASE, as text."""
    return (BASE + timedelta(seconds=second)).isoformat()


def reading(second: float = 0, value: Any = 1.5, metric: Any = "level_m") -> dict[str, Any]:
    return {"metric": metric, "time": at(second), "value": value}


def batch(*readings: dict[str, Any]) -> dict[str, Any]:
    return {"readings": list(readings)}


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """Return the value of one series; a missing series fails the test."""
    value = registry.get_sample_value(name, labels)
    assert value is not None, f"no series {name}{labels}"
    return value


def label_values(registry: CollectorRegistry, label: str) -> set[str]:
    return {
        s.labels[label]
        for metric in registry.collect()
        for s in metric.samples
        if label in s.labels
    }


def stored(app: Flask) -> int:
    """Return the number of readings in the database."""
    with app_state(app).database.read() as session:
        return session.scalar(select(func.count()).select_from(Reading))


def dead_letters(app: Flask) -> list[DeadLetter]:
    """Return all dead letters, oldest first."""
    with app_state(app).database.read() as session:
        return list(session.scalars(select(DeadLetter).order_by(DeadLetter.id)))


def is_synced(app: Flask) -> bool:
    """Return whether every node has been synced to its channel's end."""
    with app_state(app).database.read() as session:
        return synced_since(session) is not None


def outbox_payloads(app: Flask) -> list[dict[str, Any]]:
    """Return the payloads of the deliveries in the outbox, oldest first."""
    with app_state(app).database.read() as session:
        return list(session.scalars(select(Delivery.payload).order_by(Delivery.id)))


def is_problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """Return the problem document; fail without what every one of them must have."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    body = json.loads(answer.data)
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["X-Request-ID"]
    return body


def send(client: FlaskClient, *readings: dict[str, Any]) -> dict[str, int]:
    answer = client.post(READINGS, json=batch(*readings))
    assert answer.status_code == 201, answer.text
    return answer.get_json()
