"""The outbox: a delivery is sent until the receiver accepts it or it becomes a dead letter."""

import hashlib
import hmac
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr

from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs import leases, outbox
from api.platform.state import app_state
from api.platform.tables import Delivery
from tests.api.conftest import NOUNS, MakeApp
from tests.api.helpers import FINE, HIGH, LIMITS, LOW, NODE, NODES, READINGS, batch, reading, send
from tests.api.platform.helpers import dead_letters, outbox_payloads
from tests.receiver import Receiver, receiving

APP_KIND = NOUNS

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "jobs.md"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def app(make_app: MakeApp, migrated: str, receiver: Receiver) -> Flask:
    assert migrated
    return make_app(
        webhook_url=receiver.url, webhook_secret="s3cret", webhook_attempts=3, retry_seconds=60
    )


def make_due(app: Flask) -> None:
    """Make every delivery due, as if time had passed."""
    with app.app_context(), database().write() as session:
        session.query(Delivery).update({"due_at": now() - timedelta(seconds=1)})


def deliver(app: Flask) -> list[bool]:
    """Send the deliveries that are due, as a worker does; return whether each was accepted."""
    with app.app_context(), httpx.Client() as http, leases.hold("alarms.deliver") as lease:
        assert lease
        return list(iter(lambda: outbox.deliver_next(http, lease), None))


def test_it_arrives_signed_and_with_the_ids_of_its_cause(
    app: Flask, alarmed: FlaskClient, receiver: Receiver
) -> None:
    """The receiver can check the sender, recognise a repeat, and see which request caused it."""
    ids = {"X-Request-ID": "ingest-0001", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    assert alarmed.post(READINGS, json=batch(reading(0, LOW)), headers=ids).status_code == 201
    assert deliver(app) == [True]
    (sent,) = receiver.sent
    expected = hmac.new(b"s3cret", sent.body, hashlib.sha256).hexdigest()
    assert sent.headers["X-Evara-Signature"] == f"sha256={expected}"
    assert sent.headers["Content-Type"] == "application/json"
    assert sent.key == sent.json["id"]
    assert sent.headers["X-Request-ID"] == "ingest-0001"
    assert sent.headers["traceparent"].startswith(f"00-{'ab' * 16}-")
    assert sent.headers["traceparent"].endswith("-01")
    assert (outbox_payloads(app), deliver(app)) == ([], [])


def test_without_a_secret_there_is_no_signature() -> None:
    """An empty secret would be a signature that anybody can make."""
    assert outbox.signature_headers(None, b"{}") == {}
    assert outbox.signature_headers(SecretStr(""), b"{}") == {}


def test_a_refused_delivery_is_retried_with_the_same_key(
    app: Flask, alarmed: FlaskClient, receiver: Receiver
) -> None:
    """After any other status than 2xx it stays in the outbox, with its key and body."""
    receiver.status = 302
    send(alarmed, reading(0, LOW))
    assert (deliver(app), deliver(app)) == ([False], [])
    receiver.status = 204
    make_due(app)
    assert deliver(app) == [True]
    first, second = receiver.sent
    assert (first.key, first.body) == (second.key, second.body)
    assert outbox_payloads(app) == []


def test_the_last_refusal_becomes_a_dead_letter(
    app: Flask, alarmed: FlaskClient, receiver: Receiver
) -> None:
    """It has the error, the attempts, and what a retry needs, but no secret."""
    receiver.status = 503
    send(alarmed, reading(0, LOW))
    (payload,) = outbox_payloads(app)
    for _ in range(3):
        assert deliver(app) == [False]
        make_due(app)
    assert (deliver(app), outbox_payloads(app)) == ([], [])
    (letter,) = dead_letters(app)
    assert (letter.task, letter.subject, letter.error, letter.attempts) == (
        "alarms.deliver",
        payload["id"],
        "answered 503",
        3,
    )
    assert letter.payload["payload"] == payload
    assert "s3cret" not in str(letter.payload)


def test_the_error_of_an_unreachable_receiver_lacks_its_url(
    app: Flask, alarmed: FlaskClient
) -> None:
    """The URL of a webhook is often a secret."""
    app_state(app).settings.webhook_url = "http://127.0.0.1:9/token-in-the-path"
    app_state(app).settings.webhook_attempts = 1
    send(alarmed, reading(0, LOW))
    assert deliver(app) == [False]
    assert dead_letters(app)[0].error == "ConnectError"


def test_a_failed_delivery_holds_back_only_its_own_node(
    app: Flask, alarmed: FlaskClient, receiver: Receiver
) -> None:
    """It holds back the later ones of its node until it is a dead letter."""
    alarmed.post(NODES, json=NODE | {"id": "tank-02", "alarms": {"level_m": LIMITS}})
    receiver.status_of["tank-01"] = 500
    send(alarmed, reading(0, LOW))
    send(alarmed, reading(1, HIGH))
    for second, value in enumerate((LOW, FINE)):
        alarmed.post(f"{NODES}/tank-02/readings", json=batch(reading(second, value)))
    deliver(app)
    assert receiver.states() == [("tank-02", "below"), ("tank-02", "within")]
    for _ in range(2):
        make_due(app)
        deliver(app)
    attempted = {sent.json["state"] for sent in receiver.sent if sent.json["node"] == "tank-01"}
    assert attempted == {"below", "above"}
    assert [letter.payload["payload"]["state"] for letter in dead_letters(app)] == ["below"]
    receiver.status_of.clear()
    make_due(app)
    deliver(app)
    assert receiver.states()[2:] == [("tank-01", "above")]


def test_a_delivery_that_another_worker_sent_is_no_failure(
    app: Flask, alarmed: FlaskClient
) -> None:
    """A late failure of a second attempt makes no dead letter."""
    send(alarmed, reading(0, LOW))
    with app.app_context():
        with database().read() as session:
            delivery = outbox.next_due(session)
        assert delivery
        delivery.attempts = 2
        assert deliver(app) == [True]
        with database().write() as session:
            outbox.record_attempt(session, delivery, "answered 500")
    assert dead_letters(app) == []


def test_a_delivery_outlives_its_node(app: Flask, alarmed: FlaskClient, receiver: Receiver) -> None:
    """Deleting the node does not delete its deliveries."""
    send(alarmed, reading(0, LOW))
    assert alarmed.delete(f"{NODES}/tank-01").status_code == 204
    assert deliver(app) == [True]
    assert receiver.states() == [("tank-01", "below")]


def test_a_worker_without_the_lease_stops(
    app: Flask, alarmed: FlaskClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sent delivery is recorded; the rest is left to the worker that has the lease."""
    for second, value in enumerate((LOW, HIGH)):
        send(alarmed, reading(second, value))
    monkeypatch.setattr(leases.Lease, "renew", lambda *_: False)
    assert deliver(app) == []
    assert [payload["state"] for payload in outbox_payloads(app)] == ["above"]
    assert receiver.states() == [("tank-01", "below")]


def test_the_documented_receiver_accepts_each_delivery_once(
    app: Flask,
    alarmed: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The example of docs/jobs.md accepts a signature, drops repeats, and refuses forgeries."""
    monkeypatch.setenv("EVARA_WEBHOOK_SECRET", "s3cret")
    example = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(example[1], names)  # noqa: S102 - our own document
    send(alarmed, reading(0, LOW))
    with app.app_context(), httpx.Client(transport=httpx.WSGITransport(names["app"])) as http:
        app_state(app).settings.webhook_url = "http://receiver/alarms"
        with database().read() as session:
            delivery = outbox.next_due(session)
        assert delivery
        assert [outbox.send(http, delivery) for _ in range(2)] == [None, None]
        assert capsys.readouterr().out == "tank-01: level_m is below\n"
        app_state(app).settings.webhook_secret = SecretStr("another")
        assert outbox.send(http, delivery) == "answered 401"
