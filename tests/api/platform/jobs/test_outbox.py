"""The outbox: a delivery is sent until the receiver accepts it or it becomes a dead letter."""

import hashlib
import hmac
import uuid
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from flask import Flask
from pydantic import SecretStr

from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs import leases, outbox
from api.platform.state import app_state
from api.platform.tables import Delivery
from api.platform.telemetry import request_context
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import dead_letters, outbox_payloads
from tests.api.platform.other_app.orders import NOTIFY
from tests.receiver import Receiver, receiving


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


def enqueue(app: Flask, *states: str, node: str = "tank-01") -> None:
    """Write a delivery for each state, in this order, in the context of the caller."""
    with app.app_context(), database().write() as session:
        for state in states:
            key = uuid.uuid4().hex
            payload = {"id": key, "node": node, "state": state}
            headers = request_context.outbound_headers()
            session.add(Delivery(key=key, subject=node, payload=payload, headers=headers))
            session.flush()


def make_due(app: Flask) -> None:
    """Make every delivery due, as if time had passed."""
    with app.app_context(), database().write() as session:
        session.query(Delivery).update({"due_at": now() - timedelta(seconds=1)})


def deliver(app: Flask) -> list[bool]:
    """Send the deliveries that are due, as a worker does; return whether each was accepted."""
    with app.app_context(), httpx.Client() as http, leases.hold(NOTIFY) as lease:
        assert lease
        return list(iter(lambda: outbox.deliver_next(http, lease), None))


def test_delivery_is_signed_and_has_the_ids_of_its_cause(app: Flask, receiver: Receiver) -> None:
    """The receiver can verify the sender, detect duplicates, and find the request."""
    ids = {"X-Request-ID": "ingest-0001", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    with request_context.activate(ids):
        enqueue(app, "below")
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


def test_delivery_without_a_secret_is_not_signed() -> None:
    """Anybody can sign with an empty secret."""
    assert outbox.signature_headers(None, b"{}") == {}
    assert outbox.signature_headers(SecretStr(""), b"{}") == {}


def test_refused_delivery_is_retried_with_the_same_key(app: Flask, receiver: Receiver) -> None:
    """A status other than 2xx keeps it in the outbox with its key and body."""
    receiver.status = 302
    enqueue(app, "below")
    assert (deliver(app), deliver(app)) == ([False], [])
    receiver.status = 204
    make_due(app)
    assert deliver(app) == [True]
    first, second = receiver.sent
    assert (first.key, first.body) == (second.key, second.body)
    assert outbox_payloads(app) == []


def test_last_refusal_becomes_a_dead_letter(app: Flask, receiver: Receiver) -> None:
    """It has the error, the attempts and the payload, but no secret."""
    receiver.status = 503
    enqueue(app, "below")
    (payload,) = outbox_payloads(app)
    for _ in range(3):
        assert deliver(app) == [False]
        make_due(app)
    assert (deliver(app), outbox_payloads(app)) == ([], [])
    (letter,) = dead_letters(app)
    assert (letter.task, letter.subject, letter.error, letter.attempts) == (
        NOTIFY,
        payload["id"],
        "answered 503",
        3,
    )
    assert letter.payload["payload"] == payload
    assert "s3cret" not in str(letter.payload)


def test_error_of_an_unreachable_receiver_omits_the_url(app: Flask) -> None:
    """A webhook's URL is often a secret."""
    app_state(app).settings.webhook_url = "http://127.0.0.1:9/token-in-the-path"
    app_state(app).settings.webhook_attempts = 1
    enqueue(app, "below")
    assert deliver(app) == [False]
    assert dead_letters(app)[0].error == "ConnectError"


def test_failed_delivery_delays_only_its_subject(app: Flask, receiver: Receiver) -> None:
    """Later deliveries of the subject wait until it is a dead letter."""
    receiver.status_of["tank-01"] = 500
    enqueue(app, "below", "above")
    enqueue(app, "below", "within", node="tank-02")
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


def test_delivery_that_another_worker_sent_is_no_failure(app: Flask) -> None:
    """The late failure of a second attempt creates no dead letter."""
    enqueue(app, "below")
    with app.app_context():
        with database().read() as session:
            delivery = outbox.next_due(session)
        assert delivery
        delivery.attempts = 2
        assert deliver(app) == [True]
        with database().write() as session:
            outbox.record_attempt(session, delivery, "answered 500")
    assert dead_letters(app) == []


def test_worker_that_lost_the_lease_stops_delivering(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent deliveries are recorded; the worker that has the lease sends the rest."""
    enqueue(app, "below", "above")
    monkeypatch.setattr(leases.Lease, "renew", lambda *_: False)
    assert deliver(app) == []
    assert [payload["state"] for payload in outbox_payloads(app)] == ["above"]
    assert receiver.states() == [("tank-01", "below")]
