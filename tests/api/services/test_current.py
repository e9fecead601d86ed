"""Readings ahead of the server's clock: stored, counted and shown, but not current."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, text

from api.platform import clock
from api.platform.db import database
from api.platform.telemetry import metrics
from api.services import current, limits, node_counts
from tests.api.conftest import MakeApp
from tests.api.helpers import HIGH, LOW, NODES, READINGS, batch, send
from tests.api.platform.helpers import outbox_payloads, sample

LATEST = f"{NODES}/tank-01/latest"
AHEAD = "evara_ahead_readings_total"


@pytest.fixture
def app(make_app: MakeApp, migrated: str) -> Flask:
    assert migrated
    return make_app(webhook_url="http://127.0.0.1:9/")


def from_now(minutes: float, value: float = 1.5, metric: str = "level_m") -> dict[str, Any]:
    """Return a reading whose time is so many minutes after now."""
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=minutes)
    return {"metric": metric, "time": moment.isoformat(), "value": value}


def move_clock(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """Let the services see a later time."""
    for module in (current, limits):
        monkeypatch.setattr(module, "now", lambda: clock.now() + timedelta(hours=hours))


def latest_values(client: FlaskClient) -> dict[str, float]:
    return {item["metric"]: item["value"] for item in client.get(LATEST).get_json()["items"]}


def test_a_reading_ahead_mutes_no_alarm(app: Flask, alarmed: FlaskClient) -> None:
    """After one reading 20 hours ahead, low readings are current, and their alarm is delivered."""
    send(alarmed, from_now(20 * 60))
    assert latest_values(alarmed) == {}
    for minute in range(-5, 0):
        send(alarmed, from_now(minute, LOW))
    assert latest_values(alarmed) == {"level_m": LOW}
    [payload] = outbox_payloads(app)
    assert (payload["state"], payload["value"]) == ("below", LOW)


def test_a_reading_ahead_raises_no_alarm(app: Flask, alarmed: FlaskClient) -> None:
    """It changes neither the current reading nor the alarm state, alone or within a batch."""
    send(alarmed, from_now(-1), from_now(20 * 60, HIGH))
    send(alarmed, from_now(30, LOW))
    assert latest_values(alarmed) == {"level_m": 1.5}
    assert outbox_payloads(app) == []


@pytest.mark.parametrize(("minutes", "is_current"), [(0, True), (4, True), (6, False)])
def test_clocks_may_differ_by_five_minutes(
    alarmed: FlaskClient, minutes: float, is_current: bool
) -> None:
    """A reading is ahead when it is more than that in the future."""
    send(alarmed, from_now(-1, LOW))
    receipt = send(alarmed, from_now(minutes, HIGH))
    assert latest_values(alarmed) == {"level_m": HIGH if is_current else LOW}
    assert receipt.get("ahead") == (None if is_current else 1)


def test_a_reading_ahead_is_stored_counted_and_shown(
    alarmed: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the receipt, in `ahead` of the latest readings, in its range, and in the metric."""
    monkeypatch.setattr(current, "_logged", node_counts.Memory())
    monkeypatch.setattr(current, "_counted", node_counts.Memory())
    before = metrics.REGISTRY.get_sample_value(AHEAD, {"node": "tank-01"}) or 0
    readings = [from_now(30, 1.0), from_now(60, 2.0), from_now(-1, 3.0)]
    with caplog.at_level(logging.WARNING):
        receipts = [send(alarmed, *readings) for _ in range(2)]
    assert receipts[0] == {"stored": 3, "duplicates": 0, "conflicts": 0, "ahead": 2}
    answer = alarmed.get(LATEST).get_json()
    assert [item["value"] for item in answer["items"]] == [3.0]
    assert [item["value"] for item in answer["ahead"]] == [2.0]
    query = {"from": from_now(-60)["time"], "to": from_now(120)["time"]}
    stored = alarmed.get(READINGS, query_string=query).get_json()["items"]
    assert [item["value"] for item in stored] == [3.0, 1.0, 2.0]
    assert sample(metrics.REGISTRY, AHEAD, node="tank-01") == before + 2
    logged = [record for record in caplog.records if "ahead" in record.getMessage()]
    assert [record.__dict__["subject"] for record in logged] == ["tank-01"]


def test_a_reading_is_current_when_its_time_has_come(
    alarmed: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is still the newest one then; nothing has to be sent for that."""
    send(alarmed, from_now(60, 1.0), from_now(60, 2.0, "flow"), from_now(23 * 60, 9.0, "flow"))
    assert alarmed.get(LATEST).get_json()["items"] == []
    move_clock(monkeypatch, hours=1)
    assert latest_values(alarmed) == {"level_m": 1.0, "flow": 2.0}
    ahead = alarmed.get(LATEST).get_json()["ahead"]
    assert [(item["metric"], item["value"]) for item in ahead] == [("flow", 9.0)]


def test_a_clock_that_is_always_ahead_delays_its_alarms(
    app: Flask, alarmed: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading counts when its time has come, with the next reading of the metric."""
    send(alarmed, from_now(10, LOW))
    assert outbox_payloads(app) == []
    move_clock(monkeypatch, hours=0.2)
    send(alarmed, from_now(20, HIGH))
    assert [payload["state"] for payload in outbox_payloads(app)] == ["below"]


def test_an_earlier_release_left_latest_ahead(app: Flask, alarmed: FlaskClient) -> None:
    """Its row in the database neither hides the current reading nor mutes the alarm."""
    send(alarmed, from_now(-3), from_now(-2, metric="flow"))
    ahead = datetime.now(UTC) + timedelta(hours=20)
    with app.app_context(), database().write() as session:
        session.execute(text("UPDATE latest SET time = :time, value = 2.5"), {"time": ahead})
    assert latest_values(alarmed) == {"level_m": 1.5, "flow": 1.5}
    send(alarmed, from_now(-1, LOW))
    assert latest_values(alarmed) == {"level_m": LOW, "flow": 1.5}
    assert [payload["state"] for payload in outbox_payloads(app)] == ["below"]


@pytest.mark.parametrize("value", [1_795_910_553_000.0, float("inf")])
def test_a_stored_value_beyond_the_limits_is_never_current(
    app: Flask, alarmed: FlaskClient, value: float
) -> None:
    """The newest value within the limits is."""
    send(alarmed, from_now(-3), from_now(-2))
    with app.app_context(), database().write() as session:
        for table in ("readings", "latest"):
            newest = "time = (SELECT max(time) FROM readings)"
            session.execute(
                text(f"UPDATE {table} SET value = :value WHERE {newest}"),  # noqa: S608
                {"value": value},
            )
    assert latest_values(alarmed) == {"level_m": 1.5}
    answer = alarmed.post(READINGS, json=batch(from_now(-4)))
    assert answer.status_code == 201
    assert outbox_payloads(app) == []


@pytest.mark.sqlite_only("reads its plan; PostgreSQL chooses by statistics")
def test_current_readings_are_searched_in_the_index(app: Flask, alarmed: FlaskClient) -> None:
    """However many readings a metric has, one search of the primary key finds its newest."""
    send(alarmed, from_now(-1))
    statements: list[str] = []

    def remember(_: Any, __: Any, statement: str, ___: Any, ____: Any, _____: Any) -> None:
        statements.append(statement)

    with app.app_context(), database().read() as session:
        event.listen(database().engine, "before_cursor_execute", remember)
        current.readings(session, "tank-01")
        with database().engine.connect() as connection:
            explained = "EXPLAIN QUERY PLAN " + statements[-1].replace("?", "'x'")
            plan = connection.execute(text(explained)).all()
    steps = [step[-1] for step in plan]
    assert not any("SCAN" in step or "TEMP B-TREE" in step for step in steps), steps
    assert sum("node_id=? AND metric=? AND time>? AND time<?" in step for step in steps) == 2, steps
