"""A connection to PostgreSQL that is lost in a COMMIT or before it.

The answer says that nothing was stored only if that is so, and a repeat has one effect.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import delete, event, func, select
from werkzeug.test import TestResponse

from api.app import create_app
from api.config import Settings
from api.platform.clock import now
from api.platform.http import errors, idempotency
from api.platform.state import app_state
from api.platform.tables import AuditEntry, IdempotentResponse
from tests.api.conftest import own_logging
from tests.api.helpers import NODE, NODES
from tests.api.platform.helpers import KeyedClient, is_problem, store_keys
from tests.postgres_proxy import PostgresProxy, When, proxied
from tests.postgres_server import UNSAFE, PostgresServer
from tests.waiting import until

API_KEYS = "/api/v1/keys"
NEW_KEY = {"name": "lost", "scope": "read"}
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


@pytest.fixture(scope="module")
def proxy() -> Iterator[PostgresProxy]:
    with PostgresServer(*UNSAFE) as server, proxied(server) as running:
        yield running


@pytest.fixture(scope="module")
def app(proxy: PostgresProxy) -> Iterator[Flask]:
    """Yield a migrated app whose connections pass through the proxy."""
    with own_logging():
        app = create_app(Settings(_env_file=None, env="test", database_url=proxy.url("postgres")))
        app.test_client_class = KeyedClient
        with app.app_context():
            upgrade()
        with app_state(app).database.write() as session:
            store_keys(session)
        yield app
        app_state(app).database.engine.dispose()


@pytest.fixture
def client(app: Flask) -> Iterator[FlaskClient]:
    """Yield a client; afterwards there are neither nodes nor stored responses."""
    client = app.test_client()
    yield client
    client.delete(f"{NODES}/{NODE['id']}")
    with app_state(app).database.write() as session:
        session.execute(delete(IdempotentResponse))


def audit_entries(app: Flask) -> int:
    with app_state(app).database.read() as session:
        return session.scalar(select(func.count()).select_from(AuditEntry)) or 0


def is_stored(client: FlaskClient) -> bool:
    return client.get(f"{NODES}/{NODE['id']}").status_code == 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_connection_lost_in_commit_leaves_the_outcome_open(
    client: FlaskClient, proxy: PostgresProxy, when: When
) -> None:
    """The write is stored in one case and not in the other; the answer is the same."""
    proxy.cut("COMMIT", when)
    answer = client.post(NODES, json=NODE)
    assert is_problem(answer, 503)["detail"] == errors.UNKNOWN
    assert answer.headers["Retry-After"] == "5"
    assert is_stored(client) == (when == "after")


@pytest.mark.parametrize("when", ["before", "after"])
def test_connection_lost_before_commit_stores_nothing(
    client: FlaskClient, proxy: PostgresProxy, when: When
) -> None:
    """Also when the server has executed the INSERT."""
    proxy.cut("INSERT INTO nodes", when)
    assert is_problem(client.post(NODES, json=NODE), 503)["detail"] == errors.AWAY
    assert not is_stored(client)


def send_until_known(client: FlaskClient, path: str, body: dict[str, str]) -> TestResponse:
    """Repeat a request with its key until the first one has ended, and return the answer.

    PostgreSQL notices after a moment that the client of a transaction is gone.
    """
    answers: list[TestResponse] = []

    def is_known() -> bool:
        answers.append(client.post(path, json=body, headers=KEY))
        return "still running" not in answers[-1].text

    until(is_known)
    return answers[-1]


@pytest.mark.parametrize("when", ["before", "after"])
def test_repeat_with_the_key_has_one_effect(
    client: FlaskClient, app: Flask, proxy: PostgresProxy, when: When
) -> None:
    """It gets the response that was lost, or creates the node; one audit entry is written."""
    proxy.cut("COMMIT", when)
    audited = audit_entries(app)
    assert is_problem(client.post(NODES, json=NODE, headers=KEY), 503)["detail"] == errors.UNKNOWN
    repeat = send_until_known(client, NODES, NODE)
    assert repeat.status_code == 201
    assert repeat.get_json() == client.get(f"{NODES}/{NODE['id']}").get_json()
    assert ("Idempotent-Replayed" in repeat.headers) == (when == "after")
    assert audit_entries(app) == audited + 1


def test_key_whose_response_was_lost_is_named(client: FlaskClient, proxy: PostgresProxy) -> None:
    """The repeat does not create a second API key; it says which one to revoke."""
    proxy.cut("COMMIT", "after")
    is_problem(client.post(API_KEYS, json=NEW_KEY, headers=KEY), 503)
    newest = client.get(API_KEYS).get_json()["items"][0]
    assert newest["name"] == NEW_KEY["name"]
    repeat = client.post(API_KEYS, json=NEW_KEY, headers=KEY)
    assert f"fix: revoke it (DELETE {API_KEYS}/{newest['id']})" in is_problem(repeat, 409)["detail"]
    assert client.get(API_KEYS).get_json()["items"][0] == newest


def test_requests_that_replace_expired_responses_do_not_deadlock(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each deletes expired responses; neither waits for one that the other deletes."""
    monkeypatch.setattr(idempotency, "PURGED", 1)
    both = threading.Barrier(2)

    def wait_for_both(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if "DELETE FROM idempotent_responses" in sql:
            both.wait(60)

    def post(key: str) -> int:
        headers = {"Idempotency-Key": key}
        return app.test_client().post(API_KEYS, json=NEW_KEY, headers=headers).status_code

    assert [post(key) for key in ("older", "newer")] == [201, 201]
    tomorrow = now() + timedelta(hours=25)
    monkeypatch.setattr(idempotency, "now", lambda: tomorrow)
    engine = app_state(app).database.engine
    moments = ("before_cursor_execute", "after_cursor_execute")
    for moment in moments:
        event.listen(engine, moment, wait_for_both)
    try:
        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(post, ("newer", "older"))) == [201, 201]
    finally:
        for moment in moments:
            event.remove(engine, moment, wait_for_both)
