"""Alarms: a delivery when the latest reading crosses a limit, and only then."""

import re
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr

from api.platform.db import database
from api.platform.jobs import leases, outbox
from api.platform.state import app_state
from api.services import alarms, readings
from tests.api.conftest import MakeApp
from tests.api.helpers import (
    BASE,
    FINE,
    HIGH,
    LIMITS,
    LOW,
    NODE,
    NODES,
    READINGS,
    batch,
    reading,
    send,
)
from tests.api.platform.helpers import outbox_payloads
from tests.receiver import receiving

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "jobs.md"


@pytest.fixture
def app(make_app: MakeApp, migrated: str) -> Flask:
    assert migrated
    return make_app(webhook_url="http://127.0.0.1:9/")


@pytest.mark.parametrize(
    ("value", "limits", "state"),
    [
        (0.5, LIMITS, "within"),
        (3.0, LIMITS, "within"),
        (0.49, LIMITS, "below"),
        (3.01, LIMITS, "above"),
        (1, LIMITS, "within"),
        (-9.0, {"above": 3}, "within"),
        (9, {"below": 1}, "within"),
        (0.9, {"below": 1}, "below"),
        (3.1, {"above": 3}, "above"),
    ],
)
def test_value_equal_to_a_limit_is_within_it(
    value: float, limits: dict[str, float], state: str
) -> None:
    """A limit that is not set has no effect."""
    assert alarms.alarm_state(value, limits) == state


def test_concurrent_writers_report_each_crossing_once(app: Flask, alarmed: FlaskClient) -> None:
    """Each delivery starts at the state of the previous one; the last has the final state."""
    assert alarmed

    def write(first: int) -> None:
        with app.app_context():
            for second in range(first, 120, 6):
                row = {
                    "metric": "level_m",
                    "time": BASE + timedelta(seconds=second),
                    "value": (LOW, FINE, HIGH)[second % 7 % 3],
                }
                readings.store(NODE["id"], [row])

    threads = [threading.Thread(target=write, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    payloads = outbox_payloads(app)
    assert len(payloads) > 1
    assert [payload["before"] for payload in payloads] == [
        "within",
        *(payload["state"] for payload in payloads[:-1]),
    ]
    assert [payload["time"] for payload in payloads] == sorted(
        payload["time"] for payload in payloads
    )
    assert payloads[-1]["state"] == alarms.alarm_state((LOW, FINE, HIGH)[119 % 7 % 3], LIMITS)


@pytest.mark.parametrize(
    ("values", "states"),
    [
        ([FINE, LOW], ["below"]),
        ([LOW], ["below"]),
        ([FINE, FINE], []),
        ([LOW, LOW, 0.1], ["below"]),
        ([LOW, FINE, HIGH, HIGH, FINE], ["below", "within", "above", "within"]),
        ([LOW, HIGH], ["below", "above"]),
    ],
)
def test_only_crossings_are_reported(
    app: Flask, alarmed: FlaskClient, values: list[float], states: list[str]
) -> None:
    """A delivery is written when the newest reading leaves the limits, returns or changes sides."""
    for second, value in enumerate(values):
        send(alarmed, reading(second, value))
    assert [payload["state"] for payload in outbox_payloads(app)] == states


def test_delivery_describes_the_crossing(app: Flask, alarmed: FlaskClient) -> None:
    """Node, metric, time, value, limits, the new and the previous state."""
    send(alarmed, reading(0, LOW))
    (payload,) = outbox_payloads(app)
    assert len(payload.pop("id")) == 32
    assert {key: payload.pop(key) for key in ("node", "metric", "time", "value")} == {
        "node": "tank-01"
    } | reading(0, LOW)
    assert payload == {"state": "below", "before": "within", "limits": LIMITS}


def test_late_and_repeated_readings_cause_no_delivery(app: Flask, alarmed: FlaskClient) -> None:
    """Nor does a conflicting value change the alarm state."""
    send(alarmed, reading(10, FINE))
    send(alarmed, reading(5, LOW))  # late
    send(alarmed, reading(10, LOW))  # a conflict: the first value stays
    assert outbox_payloads(app) == []
    send(alarmed, reading(20, LOW))
    send(alarmed, reading(20, LOW))
    assert len(outbox_payloads(app)) == 1


def test_only_the_newest_reading_of_a_batch_counts(app: Flask, alarmed: FlaskClient) -> None:
    """The others cause no delivery, in whatever order they are sent."""
    send(
        alarmed,
        reading(3, HIGH),
        reading(1, LOW),
        reading(2, FINE),
        reading(3, LOW, "temperature_c"),
    )
    assert [payload["state"] for payload in outbox_payloads(app)] == ["above"]


def test_new_limits_apply_to_the_next_reading(app: Flask, alarmed: FlaskClient) -> None:
    """If the newest reading is already outside, the next one causes the delivery."""
    send(alarmed, reading(0, FINE))
    alarmed.patch(f"{NODES}/tank-01", json={"alarms": {"level_m": {"below": 2.0}}})
    send(alarmed, reading(1, FINE))
    assert [payload["state"] for payload in outbox_payloads(app)] == ["below"]


def test_no_delivery_is_written_without_a_webhook(make_app: MakeApp, alarmed: FlaskClient) -> None:
    """When a webhook is set, the next reading reports the state."""
    without_webhook = make_app()
    without_webhook.test_client().post(READINGS, json=batch(reading(0, LOW)))
    assert outbox_payloads(without_webhook) == []
    send(alarmed, reading(1, LOW))
    assert len(outbox_payloads(without_webhook)) == 1


def test_failed_transaction_stores_neither_reading_nor_delivery(
    app: Flask, alarmed: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are written in one transaction."""
    send(alarmed, reading(0, FINE))
    with monkeypatch.context() as patch:
        patch.setattr(readings, "conflicting_rows", lambda *_: 1 / 0)
        assert (
            alarmed.post(READINGS, json=batch(reading(0, FINE), reading(1, LOW))).status_code == 500
        )
    assert outbox_payloads(app) == []
    assert alarmed.get(f"{NODES}/tank-01/readings").get_json()["total"] == 1
    send(alarmed, reading(1, LOW))
    assert len(outbox_payloads(app)) == 1


def test_delivery_outlives_its_node(app: Flask, alarmed: FlaskClient) -> None:
    """Deleting the node does not delete its deliveries."""
    send(alarmed, reading(0, LOW))
    assert alarmed.delete(f"{NODES}/tank-01").status_code == 204
    with receiving() as receiver, app.app_context(), httpx.Client() as http:
        app_state(app).settings.webhook_url = receiver.url
        with leases.hold(alarms.JOB) as lease:
            assert lease
            assert outbox.deliver_next(http, lease)
        assert receiver.states() == [("tank-01", "below")]


def test_documented_receiver_accepts_each_delivery_once(
    app: Flask,
    alarmed: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The example of docs/jobs.md verifies signatures, drops duplicates and refuses forgeries."""
    monkeypatch.setenv("EVARA_WEBHOOK_SECRET", "s3cret")
    example = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(example[1], names)  # noqa: S102 - our own document
    send(alarmed, reading(0, LOW))
    with app.app_context(), httpx.Client(transport=httpx.WSGITransport(names["app"])) as http:
        app_state(app).settings.webhook_url = "http://receiver/alarms"
        app_state(app).settings.webhook_secret = SecretStr("s3cret")
        with database().read() as session:
            delivery = outbox.next_due(session)
        assert delivery
        capsys.readouterr()
        assert [outbox.send(http, delivery) for _ in range(2)] == [None, None]
        assert capsys.readouterr().out == "tank-01: level_m is below\n"
        app_state(app).settings.webhook_secret = SecretStr("another")
        assert outbox.send(http, delivery) == "answered 401"
