"""The header Idempotency-Key: repeats, other bodies, failures, secrets, expiry and concurrency."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select
from werkzeug.test import TestResponse

from api.platform.clock import now
from api.platform.http import idempotency
from api.platform.state import app_state
from api.platform.tables import ApiKey, AuditEntry, IdempotentResponse
from tests.api.platform.helpers import KEYS, ORDER, ORDERS, UNLIMITED, bearer, is_problem
from tests.api.platform.other_app import orders
from tests.api.platform.other_app.models import Order

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
API_KEYS = "/api/v1/keys"
NEW_KEY = {"name": "dashboard", "scope": "read"}
WAIT_SECONDS = 60
THREADS = 6


def count(app: Flask, table: type) -> int:
    """Return the number of rows."""
    with app_state(app).database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def post_order(app: Flask, **changes: Any) -> TestResponse:
    """Post the order with the key, through a client of its own, without limits."""
    headers = KEY | bearer(UNLIMITED)
    return app.test_client().post(ORDERS, json=ORDER | changes, headers=headers)


def test_repeat_gets_the_first_response(app: Flask) -> None:
    """Status, body and headers are equal; there is one order and one audit entry."""
    first, repeat = post_order(app), post_order(app)
    assert (first.status_code, first.data) == (repeat.status_code, repeat.data)
    assert first.status_code == 201
    assert first.content_type == repeat.content_type == "application/json"
    assert first.headers["Location"] == repeat.headers["Location"] == f"{ORDERS}/a-1"
    assert "Idempotent-Replayed" not in first.headers
    assert repeat.headers["Idempotent-Replayed"] == "true"
    assert first.headers["X-Request-ID"] != repeat.headers["X-Request-ID"]
    assert (count(app, Order), count(app, AuditEntry)) == (1, 1)


def test_quotes_of_the_structured_field_make_no_difference(app: Flask) -> None:
    """The draft has them, most clients do not."""
    assert post_order(app).status_code == 201
    quoted = {"Idempotency-Key": f'"{KEY["Idempotency-Key"]}"'}
    repeat = app.test_client().post(ORDERS, json=ORDER, headers=quoted | bearer(UNLIMITED))
    assert repeat.headers["Idempotent-Replayed"] == "true"


def test_another_body_is_refused(app: Flask) -> None:
    """422 says what to do; the first response stays."""
    assert post_order(app).status_code == 201
    detail = is_problem(post_order(app, amount=10.5), 422)["detail"]
    assert "fix: send the same URL and body" in detail
    assert post_order(app).headers["Idempotent-Replayed"] == "true"
    assert count(app, Order) == 1


@pytest.mark.parametrize("key", ["", "a b", "a,b", '"a', "x" * 256, "é"])
def test_invalid_key_is_refused(app: Flask, key: str) -> None:
    """422 names the header and says what to send; nothing is stored."""
    answer = app.test_client().post(ORDERS, json=ORDER, headers={"Idempotency-Key": key})
    [message] = is_problem(answer, 422)["errors"]["headers"]["Idempotency-Key"]
    assert "fix: send a new UUID" in message
    assert count(app, Order) == 0


def test_failed_request_does_not_use_up_its_key(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 422, 409 and 500 the same key is free, and nothing of the failed requests is stored."""
    is_problem(post_order(app, amount="much"), 422)
    assert app.test_client().post(ORDERS, json=ORDER | {"id": "b"}).status_code == 201
    is_problem(post_order(app, id="b"), 409)
    with monkeypatch.context() as patch:
        patch.setattr(orders.OrderSchema, "dump", lambda *_: 1 / 0)
        is_problem(post_order(app), 500)
    assert (count(app, Order), count(app, IdempotentResponse)) == (1, 0)
    assert post_order(app).status_code == 201
    assert (count(app, Order), count(app, AuditEntry)) == (2, 2)


def test_key_belongs_to_a_caller_and_an_operation(app: Flask) -> None:
    """Another API key, and another route, may use it for something else."""
    client = app.test_client()
    assert post_order(app).status_code == 201
    other = client.post(ORDERS, json=ORDER | {"id": "b"}, headers=KEY | bearer(KEYS["write"]))
    assert other.status_code == 201
    made = client.post(API_KEYS, json=NEW_KEY, headers=KEY | bearer(UNLIMITED))
    assert made.status_code == 201


def test_token_is_not_stored_for_repeats(app: Flask, client: FlaskClient) -> None:
    """A repeat names the API key that was created, and how to replace it."""
    first = client.post(API_KEYS, json=NEW_KEY, headers=KEY).get_json()
    with app_state(app).database.read() as session:
        [stored] = session.scalars(select(IdempotentResponse))
    assert first["key"] not in repr(vars(stored))
    keys = count(app, ApiKey)
    answer = client.post(API_KEYS, json=NEW_KEY, headers=KEY)
    detail = is_problem(answer, 409)["detail"]
    assert first["id"] in detail
    assert f"fix: revoke it (DELETE {API_KEYS}/{first['id']})" in detail
    assert "Retry-After" not in answer.headers
    is_problem(client.post(API_KEYS, json=NEW_KEY | {"name": "other"}, headers=KEY), 422)
    assert count(app, ApiKey) == keys


def set_clock(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """Set the clock ahead."""
    later = now() + timedelta(hours=hours)
    monkeypatch.setattr(idempotency, "now", lambda: later)


def test_response_expires_after_a_day(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the request is new."""
    statuses = []
    for hours in (0, 23, 25, 25):
        set_clock(monkeypatch, hours)
        statuses.append(client.post(API_KEYS, json=NEW_KEY, headers=KEY).status_code)
    assert statuses == [201, 409, 201, 409]


def test_expired_responses_are_deleted(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request with a key deletes some of them."""
    monkeypatch.setattr(idempotency, "PURGED", 3)
    stored = []
    for number in range(7):
        if number == 5:
            set_clock(monkeypatch, 25)
        order = ORDER | {"id": f"a-{number}"}
        client.post(ORDERS, json=order, headers={"Idempotency-Key": str(number)})
        stored.append(count(app, IdempotentResponse))
    assert stored == [1, 2, 3, 4, 5, 5 - 3 + 1, 3 - 2 + 1]


class Gate:
    """A view's response that is held until the gate opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.reached = threading.Event()
        self.open = threading.Event()
        self._dump: Callable[..., Any] = orders.OrderSchema.dump
        monkeypatch.setattr(orders.OrderSchema, "dump", self.dump)

    def dump(self, order: Any) -> Any:
        self.reached.set()
        assert self.open.wait(WAIT_SECONDS)
        return self._dump(orders.OrderSchema(), order)


def test_repeat_of_a_running_request_has_no_effect(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL answers 409 at once; SQLite, which has one writer, waits for the response."""
    gate = Gate(monkeypatch)
    is_sqlite = app_state(app).database.engine.name == "sqlite"
    with ThreadPoolExecutor(2) as threads:
        first: Future[TestResponse] = threads.submit(post_order, app)
        assert gate.reached.wait(WAIT_SECONDS)
        repeat: Future[TestResponse] = threads.submit(post_order, app)
        if not is_sqlite:
            assert "still running" in is_problem(repeat.result(WAIT_SECONDS), 409)["detail"]
            assert repeat.result().headers["Retry-After"] == "1"
        gate.open.set()
    assert first.result().status_code == 201
    if is_sqlite:
        assert repeat.result().headers["Idempotent-Replayed"] == "true"
    assert post_order(app).data == first.result().data
    assert count(app, Order) == 1


class HeldTransaction:
    """The first transaction with the key: its view has run, and it waits before it is stored."""

    def __init__(self, app: Flask, monkeypatch: pytest.MonkeyPatch):
        self.reached = threading.Event()
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)  # of all transactions of SQLite
        self._store = idempotency.store
        monkeypatch.setattr(idempotency, "store", self.store)
        engine = app_state(app).database.engine
        event.listen(engine, "before_cursor_execute", self.count_begin)

    def store(self, *arguments: Any) -> None:
        if not self.reached.is_set():
            self.reached.set()
            assert self.open.wait(WAIT_SECONDS)
        self._store(*arguments)

    def count_begin(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self.reached.is_set() and statement.startswith("BEGIN"):
            self.begun.release()


def test_of_simultaneous_requests_one_is_executed(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeats that begin before the first request commits create no second API key.

    No constraint of the table would refuse one. PostgreSQL answers 409 while the first request
    runs; on SQLite the repeats wait for its transaction.
    """
    held = HeldTransaction(app, monkeypatch)
    headers = KEY | bearer(UNLIMITED)
    before = count(app, ApiKey)

    def post() -> TestResponse:
        return app.test_client().post(API_KEYS, json=NEW_KEY, headers=headers)

    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(post)
        assert held.reached.wait(WAIT_SECONDS)
        repeats = [threads.submit(post) for _ in range(THREADS - 1)]
        if app_state(app).database.engine.name == "sqlite":
            assert all(held.begun.acquire(timeout=WAIT_SECONDS) for _ in repeats)
        else:
            wait(repeats, WAIT_SECONDS)
        held.open.set()
    assert first.result().status_code == 201
    assert [repeat.result().status_code for repeat in repeats] == [409] * len(repeats)
    assert (count(app, ApiKey) - before, count(app, AuditEntry)) == (1, 1)


def test_contract_has_the_header_and_its_responses(client: FlaskClient) -> None:
    """Of routes that take the key, and of no others."""
    document = client.get("/openapi.json").get_json()
    operation = document["paths"][ORDERS]["post"]
    [parameter] = operation["parameters"]
    assert (parameter["in"], parameter["name"]) == ("header", "Idempotency-Key")
    assert not parameter["required"]
    assert "Retry-After" in operation["responses"]["409"]["headers"]
    assert "Idempotent-Replayed" in operation["responses"]["201"]["headers"]
    assert (
        "Idempotent-Replayed" not in document["paths"][ORDERS]["get"]["responses"]["200"]["headers"]
    )
