"""Helpers for tests of every app on the platform."""

import json
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from api.platform.clock import now
from api.platform.keys import digest_of
from api.platform.state import app_state
from api.platform.tables import SCOPES, ApiKey, DeadLetter, Delivery
from tests.contract_validation import mismatch

# Of the keys that the fixtures store, by scope; the client below uses admin.
KEYS = {scope: f"evara_{scope:-<43}" for scope in SCOPES}
ORDERS = "/api/v1/orders"  # of the other app
ORDER = {"id": "a-1", "amount": 9.5}
UNLIMITED = f"evara_{'unlimited':-<43}"


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


def dead_letters(app: Flask) -> list[DeadLetter]:
    """Return all dead letters, oldest first."""
    with app_state(app).database.read() as session:
        return list(session.scalars(select(DeadLetter).order_by(DeadLetter.id)))


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
