"""Helpers for tests of the nouns."""

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from api.models import Reading
from api.platform.state import app_state
from api.services.sync import synced_since

NODE = {"id": "tank-01", "name": "Roof tank", "kind": "water_tank"}
NODES = "/api/v1/nodes"
READINGS = f"{NODES}/tank-01/readings"
DAY = 86_400  # seconds; more than two commits of a sync
LIMITS = {"below": 0.5, "above": 3.0}  # of the level of an alarmed node
LOW, FINE, HIGH = 0.2, 1.5, 4.0  # levels below, within and above them
BASE = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12)


def at(second: float) -> str:
    """Return the time that many seconds after BASE as a text."""
    return (BASE + timedelta(seconds=second)).isoformat()


def reading(second: float = 0, value: Any = 1.5, metric: Any = "level_m") -> dict[str, Any]:
    return {"metric": metric, "time": at(second), "value": value}


def batch(*readings: dict[str, Any]) -> dict[str, Any]:
    return {"readings": list(readings)}


def stored(app: Flask) -> int:
    """Return the number of readings in the database."""
    with app_state(app).database.read() as session:
        return session.scalar(select(func.count()).select_from(Reading))


def is_synced(app: Flask) -> bool:
    """Return whether every node has been synced to its channel's end."""
    with app_state(app).database.read() as session:
        return synced_since(session) is not None


def send(client: FlaskClient, *readings: dict[str, Any]) -> dict[str, int]:
    answer = client.post(READINGS, json=batch(*readings))
    assert answer.status_code == 201, answer.text
    return answer.get_json()
