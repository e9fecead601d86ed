"""Alarms: an edge makes exactly one delivery, and a delivery is sent until it is taken or a dead
letter."""

import hashlib
import hmac
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.models import DeadLetter, Delivery, now
from api.platform.db import database
from api.platform.jobs import leases
from api.platform.state import app_state
from api.services import notifications, readings
from tests.api.conftest import MakeApp
from tests.api.helpers import BASE, NODE, NODES, READINGS, batch, reading, send
from tests.receiver import Receiver, receiving

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "jobs.md"
LIMITS = {"below": 0.5, "above": 3.0}
LOW, FINE, HIGH = 0.2, 1.5, 4.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def app(make_app: MakeApp, migrated: str, receiver: Receiver) -> Flask:
    assert migrated
    return make_app(
        webhook_url=receiver.url, webhook_secret="s3cret", webhook_attempts=3, retry_seconds=60
    )


@pytest.fixture
def alarmed(client: FlaskClient) -> FlaskClient:
    """A client, with a node that has limits for its level."""
    assert client.post(NODES, json=NODE | {"alarms": {"level_m": LIMITS}}).status_code == 201
    return client


def outbox(app: Flask) -> list[dict[str, Any]]:
    with app.app_context(), database().read() as session:
        return [row.payload for row in session.query(Delivery).order_by(Delivery.id)]


def letters(app: Flask) -> list[DeadLetter]:
    with app.app_context(), database().read() as session:
        return session.query(DeadLetter).all()


def hurry(app: Flask) -> None:
    """Time passes: whatever waits is due."""
    with app.app_context(), database().write() as session:
        session.query(Delivery).update({"due_at": now() - timedelta(seconds=1)})


def deliver(app: Flask) -> list[bool]:
    """Empties the outbox as far as it is due, as the worker does."""
    with app.app_context(), httpx.Client() as http, leases.hold("alarms.deliver") as lease:
        assert lease
        return list(iter(lambda: notifications.deliver_next(http, lease), None))


@pytest.mark.parametrize(
    ("value", "limits", "state"),
    [
        (0.5, LIMITS, "within"), (3.0, LIMITS, "within"), (0.49, LIMITS, "below"), (3.01, LIMITS, "above"), (1, LIMITS, "within"),
        (-9.0, {"above": 3}, "within"), (9, {"below": 1}, "within"), (0.9, {"below": 1}, "below"), (3.1, {"above": 3}, "above"),
    ],
)  # fmt: skip
def test_a_limit_itself_is_within(value: float, limits: dict[str, float], state: str) -> None:
    """Only what lies beyond a limit is outside, and a limit that is not set lets everything
    pass."""
    assert notifications.alarm_state(value, limits) == state


def test_crossings_are_told_once_each_however_many_write_at_once(
    app: Flask, alarmed: FlaskClient
) -> None:
    """Every delivery goes on from where the one before it ended, and the last says where the newest
    reading lies."""
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
    told = outbox(app)
    assert len(told) > 1
    assert [payload["before"] for payload in told] == [
        "within",
        *(payload["state"] for payload in told[:-1]),
    ]
    assert [payload["time"] for payload in told] == sorted(payload["time"] for payload in told)
    assert told[-1]["state"] == notifications.alarm_state((LOW, FINE, HIGH)[119 % 7 % 3], LIMITS)


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
def test_edges_alone_are_told(
    app: Flask, alarmed: FlaskClient, values: list[float], states: list[str]
) -> None:
    """One delivery when the newest reading leaves the limits, returns or changes sides; none while
    it stays where it is."""
    for second, value in enumerate(values):
        send(alarmed, reading(second, value))
    assert [payload["state"] for payload in outbox(app)] == states


def test_a_delivery_says_what_happened(app: Flask, alarmed: FlaskClient) -> None:
    """Node, metric, time, value, limits, the state now and the one that was told before."""
    send(alarmed, reading(0, LOW))
    (payload,) = outbox(app)
    assert len(payload.pop("id")) == 32
    assert {key: payload.pop(key) for key in ("node", "metric", "time", "value")} == {
        "node": "tank-01"
    } | reading(0, LOW)
    assert payload == {"state": "below", "before": "within", "limits": LIMITS}


def test_late_and_repeated_readings_tell_nothing(app: Flask, alarmed: FlaskClient) -> None:
    """What is not the newest, was there before, or contradicts what is stored, moves nothing."""
    send(alarmed, reading(10, FINE))
    send(alarmed, reading(5, LOW))  # late
    send(alarmed, reading(10, LOW))  # a conflict: the first value stays
    assert outbox(app) == []
    send(alarmed, reading(20, LOW))
    send(alarmed, reading(20, LOW))
    assert len(outbox(app)) == 1


def test_a_batch_is_judged_by_its_newest(app: Flask, alarmed: FlaskClient) -> None:
    """What lay between, in whatever order it was sent, is history."""
    send(
        alarmed,
        reading(3, HIGH),
        reading(1, LOW),
        reading(2, FINE),
        reading(3, LOW, "temperature_c"),
    )
    assert [payload["state"] for payload in outbox(app)] == ["above"]


def test_new_limits_are_told_with_the_next_reading(app: Flask, alarmed: FlaskClient) -> None:
    """Limits that the newest reading lies beyond already are not forgotten: the next reading
    tells."""
    send(alarmed, reading(0, FINE))
    alarmed.patch(f"{NODES}/tank-01", json={"alarms": {"level_m": {"below": 2.0}}})
    send(alarmed, reading(1, FINE))
    assert [payload["state"] for payload in outbox(app)] == ["below"]


def test_without_a_webhook_nothing_is_written(make_app: MakeApp, alarmed: FlaskClient) -> None:
    """Nobody wants it, so nothing piles up; once there is a webhook, the next reading tells how
    things stand."""
    silent = make_app()
    silent.test_client().post(READINGS, json=batch(reading(0, LOW)))
    assert outbox(silent) == []
    send(alarmed, reading(1, LOW))
    assert len(outbox(silent)) == 1


def test_reading_and_delivery_are_stored_together_or_not_at_all(
    app: Flask, alarmed: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that fails after both were written leaves neither."""
    send(alarmed, reading(0, FINE))
    with monkeypatch.context() as patch:
        patch.setattr(readings, "count_conflicts", lambda *_: 1 / 0)
        assert (
            alarmed.post(READINGS, json=batch(reading(0, FINE), reading(1, LOW))).status_code == 500
        )
    assert outbox(app) == []
    assert alarmed.get(f"{NODES}/tank-01/readings").get_json()["total"] == 1
    send(alarmed, reading(1, LOW))
    assert len(outbox(app)) == 1


def test_it_arrives_signed_and_with_the_ids_of_its_cause(
    app: Flask, alarmed: FlaskClient, receiver: Receiver
) -> None:
    """The receiver can tell that it is ours, whether it had it before, and which request caused
    it."""
    ids = {"X-Request-ID": "ingest-0001", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    assert alarmed.post(READINGS, json=batch(reading(0, LOW)), headers=ids).status_code == 201
    assert deliver(app) == [True]
    (sent,) = receiver.sent
    wanted = hmac.new(b"s3cret", sent.body, hashlib.sha256).hexdigest()
    assert sent.headers["X-Evara-Signature"] == f"sha256={wanted}"
    assert sent.headers["Content-Type"] == "application/json"
    assert sent.key == sent.json["id"]
    assert sent.headers["X-Request-ID"] == "ingest-0001"
    assert sent.headers["traceparent"].startswith(f"00-{'ab' * 16}-")
    assert sent.headers["traceparent"].endswith("-01")
    assert (outbox(app), deliver(app)) == ([], [])


def test_without_a_secret_there_is_no_signature() -> None:
    """An empty key would be a signature that anybody can make."""
    assert notifications.signature_headers(None, b"{}") == {}
    assert notifications.signature_headers(notifications.SecretStr(""), b"{}") == {}


def test_a_refusal_is_tried_again_later_with_the_same_key(
    app: Flask, alarmed: FlaskClient, receiver: Receiver
) -> None:
    """Anything but 2xx leaves it in the outbox; it is not due at once, and keeps its key and
    body."""
    receiver.status = 302
    send(alarmed, reading(0, LOW))
    assert (deliver(app), deliver(app)) == ([False], [])
    receiver.status = 204
    hurry(app)
    assert deliver(app) == [True]
    first, second = receiver.sent
    assert (first.key, first.body) == (second.key, second.body)
    assert outbox(app) == []


def test_waits_double_up_to_ten_minutes(make_app: MakeApp) -> None:
    """From the first to the last attempt pass 37 minutes with the settings as they are."""
    app = make_app()
    with app.app_context():
        waits = [
            notifications.retry_delay(attempts)
            for attempts in range(1, app_state(app).settings.webhook_attempts)
        ]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert 37 * 60 <= sum(waits) < 38 * 60


def test_the_last_refusal_makes_a_dead_letter(
    app: Flask, alarmed: FlaskClient, receiver: Receiver
) -> None:
    """It says what went wrong and how often it was tried, holds what sending it again needs, and no
    secret."""
    receiver.status = 503
    send(alarmed, reading(0, LOW))
    (payload,) = outbox(app)
    for _ in range(3):
        assert deliver(app) == [False]
        hurry(app)
    assert (deliver(app), outbox(app)) == ([], [])
    (letter,) = letters(app)
    assert (letter.task, letter.subject, letter.error, letter.attempts) == (
        "alarms.deliver",
        payload["id"],
        "answered 503",
        3,
    )
    assert letter.payload["payload"] == payload
    assert "s3cret" not in str(letter.payload)


def test_a_receiver_that_is_away_is_an_error_without_its_address(
    app: Flask, alarmed: FlaskClient
) -> None:
    """The address of a webhook is often a secret itself."""
    app_state(app).settings.webhook_url = "http://127.0.0.1:9/token-in-the-path"
    app_state(app).settings.webhook_attempts = 1
    send(alarmed, reading(0, LOW))
    assert deliver(app) == [False]
    assert letters(app)[0].error == "ConnectError"


def test_a_node_keeps_its_order_and_others_go_on(
    app: Flask, alarmed: FlaskClient, receiver: Receiver
) -> None:
    """What fails holds back the later ones of its node alone, until it is a dead letter."""
    alarmed.post(NODES, json=NODE | {"id": "tank-02", "alarms": {"level_m": LIMITS}})
    receiver.status_of["tank-01"] = 500
    send(alarmed, reading(0, LOW))
    send(alarmed, reading(1, HIGH))
    for second, value in enumerate((LOW, FINE)):
        alarmed.post(f"{NODES}/tank-02/readings", json=batch(reading(second, value)))
    deliver(app)
    assert receiver.states() == [("tank-02", "below"), ("tank-02", "within")]
    for _ in range(2):
        hurry(app)
        deliver(app)
    assert {sent.json["state"] for sent in receiver.sent if sent.json["node"] == "tank-01"} == {
        "below",
        "above",
    }
    assert [letter.payload["payload"]["state"] for letter in letters(app)] == ["below"]
    receiver.status_of.clear()
    hurry(app)
    deliver(app)
    assert receiver.states()[2:] == [("tank-01", "above")]


def test_an_attempt_that_another_worker_was_faster_with_is_no_failure(
    app: Flask, alarmed: FlaskClient
) -> None:
    """Taken once is taken: a late failure of a second attempt makes no dead letter."""
    send(alarmed, reading(0, LOW))
    with app.app_context():
        with database().read() as session:
            delivery = notifications.next_due(session)
        assert delivery
        delivery.attempts = 2
        assert deliver(app) == [True]
        with database().write() as session:
            notifications.record_attempt(session, delivery, "answered 500")
    assert letters(app) == []


def test_a_deleted_node_still_tells_what_happened(
    app: Flask, alarmed: FlaskClient, receiver: Receiver
) -> None:
    """The outbox does not go with the node."""
    send(alarmed, reading(0, LOW))
    assert alarmed.delete(f"{NODES}/tank-01").status_code == 204
    assert deliver(app) == [True]
    assert receiver.states() == [("tank-01", "below")]


def test_who_lost_the_lease_stops(
    app: Flask, alarmed: FlaskClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is done with, so that it is not sent again, and the rest is left to whoever has
    the lease now."""
    for second, value in enumerate((LOW, HIGH)):
        send(alarmed, reading(second, value))
    monkeypatch.setattr(leases.Lease, "renew", lambda *_: False)
    assert deliver(app) == []
    assert [payload["state"] for payload in outbox(app)] == ["above"]
    assert receiver.states() == [("tank-01", "below")]


def test_the_receiver_of_the_document_takes_each_delivery_once(
    app: Flask,
    alarmed: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The example of docs/jobs.md as it stands: it believes what is signed, drops repeats, and
    refuses what is forged."""
    monkeypatch.setenv("EVARA_WEBHOOK_SECRET", "s3cret")
    example = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(example[1], names)  # noqa: S102 - our own document
    send(alarmed, reading(0, LOW))
    with app.app_context(), httpx.Client(transport=httpx.WSGITransport(names["app"])) as http:
        app_state(app).settings.webhook_url = "http://receiver/alarms"
        with database().read() as session:
            delivery = notifications.next_due(session)
        assert delivery
        assert [notifications.send(http, delivery) for _ in range(2)] == [None, None]
        assert capsys.readouterr().out == "tank-01: level_m is below\n"
        app_state(app).settings.webhook_secret = notifications.SecretStr("another")
        assert notifications.send(http, delivery) == "answered 401"
