"""Small things that tests of the API say often."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from api.models import SCOPES, ApiKey, Reading, now
from api.platform.keys import digest_of
from api.platform.state import app_state
from tests.contract_validation import mismatch

KEYS = {
    scope: f"evara_{scope:-<43}" for scope in SCOPES
}  # what the fixtures store; the client below uses admin
UNLIMITED = f"evara_{'unlimited':-<43}"
NODE = {"id": "tank-01", "name": "Roof tank", "kind": "water_tank"}
NODES = "/api/v1/nodes"
READINGS = f"{NODES}/tank-01/readings"
BASE = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12)


class KeyedClient(FlaskClient):
    """A client that sends an admin key, unless a request says otherwise, and holds each answer against the contract."""

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
    """A limited key of every scope, and an unlimited one for admin."""
    made = [(scope, scope, token, False) for scope, token in KEYS.items()] + [
        ("unlimited", "admin", UNLIMITED, True)
    ]
    columns = ("id", "scope", "digest", "unlimited", "name", "created_at")
    rows = [
        (name, scope, digest_of(token), unlimited, "of tests", now())
        for name, scope, token, unlimited in made
    ]
    session.execute(
        insert(ApiKey.__table__), [dict(zip(columns, row, strict=True)) for row in rows]
    )  # beside the audit log


def at(second: float) -> str:
    """A plausible time, so many seconds after BASE."""
    return (BASE + timedelta(seconds=second)).isoformat()


def reading(second: float = 0, value: Any = 1.5, metric: Any = "level_m") -> dict[str, Any]:
    return {"metric": metric, "time": at(second), "value": value}


def batch(*readings: dict[str, Any]) -> dict[str, Any]:
    return {"readings": list(readings)}


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """The value of one series; a missing series is a failure of the test, not a zero."""
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
    """How many readings are in the database."""
    with app_state(app).database.read() as session:
        return session.scalar(select(func.count()).select_from(Reading))


def is_problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """The problem document, after a look at everything that all of them must have."""
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
