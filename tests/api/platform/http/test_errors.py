"""Problem documents for every error, and unhandled exceptions."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, ImATeapot, MethodNotAllowed, TooManyRequests

from api.platform import db
from api.platform.http import errors
from api.platform.jobs.worker import Jobs
from api.platform.state import app_state
from api.platform.telemetry import logs, metrics
from observability.spec import names
from tests.api.collector import Collector, collecting
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import (
    ORDER,
    ORDERS,
    UNLIMITED,
    bearer,
    is_problem,
    label_values,
    sample,
)
from tests.api.platform.other_app import orders
from tests.api.platform.other_app.orders import LOST, SHIP


def raising(error: Exception) -> object:
    def view(*_: object, **__: object) -> None:
        raise error

    return view


def exceptions(app: Flask, route: str, kind: str) -> float:
    """Return the number of unhandled exceptions of a class."""
    registry = app_state(app).registry
    return sample(registry, f"{names.HTTP_EXCEPTIONS}_total", route=route, type=kind)


def server_errors(app: Flask, route: str) -> float:
    """Return the number of requests that were answered with 5xx."""
    registry = app_state(app).registry
    return sample(registry, f"{names.HTTP_DURATION}_count", route=route, status="5xx")


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (MethodNotAllowed(["GET", "PUT"]), ("Allow", "GET, PUT")),
        (TooManyRequests(retry_after=7), ("Retry-After", "7")),
        (ImATeapot("short and stout"), ("Content-Type", "application/problem+json")),
    ],
)
def test_http_exceptions_keep_their_headers(
    make_app: MakeApp,
    migrated: str,
    monkeypatch: pytest.MonkeyPatch,
    error: HTTPException,
    header: tuple[str, str],
) -> None:
    """The problem document has their status, description and headers."""
    monkeypatch.setattr(orders, "paged", raising(error))
    assert migrated
    client = make_app().test_client()
    client.holds_contract = False  # no view documents a 418
    answer = client.get(ORDERS, headers=bearer(UNLIMITED))
    assert is_problem(answer, error.code or 0)["detail"] == error.description
    assert answer.headers[header[0]] == header[1]


def test_every_response_has_security_headers(client: FlaskClient) -> None:
    """Successes and errors forbid sniffing, framing and referrers."""
    for path in (ORDERS, "/nothing"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_unhandled_exception_is_logged_and_not_exposed(
    make_app: MakeApp,
    migrated: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The response is 500 without details; the traceback is logged and counted once."""
    assert migrated
    app = make_app()
    monkeypatch.setattr(orders, "paged", raising(ZeroDivisionError("the secret inside")))
    body = is_problem(app.test_client().get(ORDERS), 500)
    assert "secret" not in json.dumps(body)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    [error] = [line for line in lines if line["level"] == "ERROR"]
    assert "ZeroDivisionError: the secret inside" in error["exc_info"]
    assert error["request_id"] == body["request_id"]
    assert exceptions(app, "orders.list", "ZeroDivisionError") == 1
    assert server_errors(app, "orders.list") == 1


@pytest.mark.sqlite_only("its one lock for writers")
def test_locked_database_is_503_for_writers(
    make_app: MakeApp, database_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that waits too long stores nothing; readers succeed."""
    monkeypatch.setattr(db, "BUSY_SECONDS", 0.05)
    app = make_app()
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {UNLIMITED}"
    other = sqlite3.connect(database_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = client.post(ORDERS, json=ORDER)
    is_problem(answer, 503)
    assert answer.headers["Retry-After"] == "5"
    assert client.get(ORDERS).get_json()["total"] == 0
    other.execute("ROLLBACK")
    other.close()
    assert client.post(ORDERS, json=ORDER).status_code == 201
    assert exceptions(app, "v1.orders.create-one", names.NO_TYPE) == 0


def test_exhausted_connection_pool_is_503(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection did not become free in time."""
    monkeypatch.setattr(orders, "paged", raising(PoolTimeout("no connection")))
    is_problem(client.get(ORDERS), 503)


def test_missing_tables_are_503(make_app: MakeApp) -> None:
    """Every route that uses the database answers so before the migration."""
    is_problem(make_app().test_client().get(ORDERS), 503)


def test_validation_error_names_the_field(client: FlaskClient) -> None:
    """422 has the location, the field and the reason."""
    body = is_problem(client.post(ORDERS, json=ORDER | {"amount": "much"}), 422)
    assert body["errors"] == {"json": {"amount": ["Not a valid number."]}}
    assert client.get(ORDERS).get_json()["total"] == 0


class Canceled(Exception):
    """The exception of PostgreSQL's driver for a statement that took too long."""

    sqlstate = "57014"


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (
            IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed")),
            409,
            "conflicts with stored data",
        ),
        (
            DataError("INSERT", {}, Exception("integer out of range")),
            422,
            "cannot store one of the values",
        ),
        (
            OperationalError("SELECT", {}, Exception("server closed the connection")),
            503,
            "database is unavailable",
        ),
        (
            OperationalError(
                "SELECT", {}, Canceled("canceling statement due to statement timeout")
            ),
            503,
            "took too long",
        ),
        (
            InterfaceError("SELECT", {}, Exception("connection already closed")),
            503,
            "database is unavailable",
        ),
    ],
)
def test_database_error_is_a_problem_document(
    make_app: MakeApp,
    migrated: str,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    words: str,
) -> None:
    """Refused values and a slow or unavailable database have different statuses."""
    assert migrated
    monkeypatch.setattr(orders, "paged", raising(error))
    app = make_app()
    client = app.test_client()
    client.holds_contract = False  # no view documents all of these
    answer = client.get(ORDERS)
    body = is_problem(answer, status)
    assert words in body["detail"]
    assert "SELECT" not in answer.text
    assert "INSERT" not in answer.text
    assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)
    counts = [
        sample.value
        for metric in app_state(app).registry.collect()
        if metric.name == names.HTTP_EXCEPTIONS
        for sample in metric.samples
        if sample.name.endswith("_total")
    ]
    assert set(counts) == {0}


def test_statement_timeout_is_sent_to_postgresql() -> None:
    """It is sent in milliseconds; without the setting, and to SQLite, nothing is sent."""
    limited = db.engine_options(is_sqlite=False, statement_timeout=1.5)
    unlimited = db.engine_options(is_sqlite=False, statement_timeout=0)
    sqlite = db.engine_options(is_sqlite=True, statement_timeout=1.5)
    option = {"options": "-c statement_timeout=1500"}
    assert limited["connect_args"] == db.CONNECTION_TIMEOUTS | option
    assert unlimited["connect_args"] == db.CONNECTION_TIMEOUTS
    assert sqlite == {"connect_args": {"timeout": db.BUSY_SECONDS}}


def error_lines(
    capsys: pytest.CaptureFixture[str],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the lines of level ERROR and the lines of requests."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    failures = [line for line in lines if line["level"] == "ERROR"]
    requests = [line for line in lines if line["logger"] == logs.ACCESS]
    return failures, requests


@pytest.mark.parametrize("hook", ["before_request", "after_request", "errorhandler"])
def test_exception_in_a_hook_is_a_problem_document(
    make_app: MakeApp, migrated: str, capsys: pytest.CaptureFixture[str], hook: str
) -> None:
    """Also in an error handler: all headers, one count, one traceback, one request line."""
    assert migrated
    app = make_app()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("in a hook")

    if hook == "errorhandler":
        app.register_error_handler(404, broken)
    else:
        getattr(app, hook)(broken)
    answer = app.test_client().get("/nowhere")
    body = is_problem(answer, 500)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    [error], [line] = error_lines(capsys)
    assert "ZeroDivisionError: in a hook" in error["exc_info"]
    assert error["request_id"] == line["request_id"] == body["request_id"]
    assert line["status"] == 500
    assert exceptions(app, names.UNMATCHED, "ZeroDivisionError") == 1
    assert server_errors(app, names.UNMATCHED) == 1


def test_failing_error_handler_is_a_problem_document(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last resort does not call problem()."""
    monkeypatch.setattr(errors, "problem", raising(ZeroDivisionError()))
    monkeypatch.setattr(orders, "paged", raising(ZeroDivisionError()))
    answer = client.get(ORDERS)
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert answer.get_json()["detail"] == errors.BROKEN


def test_number_of_exception_series_is_limited(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes beyond the limit share a series, so that Prometheus is not flooded."""
    monkeypatch.setattr(metrics, "MAX_EXCEPTION_TYPES", 2)
    for name in ("A", "B", "C", "D", "A"):
        monkeypatch.setattr(orders, "paged", raising(type(name, (Exception,), {})()))
        client.get(ORDERS)
    registry = app_state(app).registry
    counted = {
        kind: sample(registry, f"{names.HTTP_EXCEPTIONS}_total", route="orders.list", type=kind)
        for kind in ("A", "B", names.OTHER)
    }
    assert counted == {"A": 2, "B": 1, names.OTHER: 2}
    assert label_values(registry, names.TYPE) == {"A", "B", names.OTHER, names.NO_TYPE}


@pytest.fixture
def sentry() -> Iterator[Collector]:
    """Yield a server that receives envelopes; close the process-wide Sentry client at the end."""
    with collecting() as server:
        yield server
        sentry_sdk.get_client().close()


def test_unhandled_exception_is_sent_to_sentry(
    make_app: MakeApp, migrated: str, sentry: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event has release, environment, route and ids, but no data of the request."""
    assert migrated
    app = make_app(sentry_dsn=sentry.url.replace("://", "://public@") + "/1", version="1.2.3")
    client = app.test_client()
    assert client.post(ORDERS, json=ORDER | {"id": LOST}).status_code == 201
    error = ZeroDivisionError("at postgresql://evara:hunter2@db/evara")
    monkeypatch.setattr(orders, "Order", raising(error))
    assert client.get("/nowhere").status_code == 404
    answer = client.post(ORDERS, json=ORDER | {"id": "hunter2"}, headers=bearer(UNLIMITED))
    assert answer.status_code == 500
    monkeypatch.undo()
    monkeypatch.setattr(orders, "ShippingError", KeyError)
    assert not Jobs(app).runners[SHIP].run_all()
    sentry_sdk.flush(10)
    assert b"hunter2" not in b"".join(sentry.bodies)
    assert UNLIMITED.encode() not in b"".join(sentry.bodies)
    events = [json.loads(body.splitlines()[2]) for body in sentry.bodies]
    last_exceptions = [event["exception"]["values"][-1] for event in events]
    assert [exception["type"] for exception in last_exceptions] == ["ZeroDivisionError", "KeyError"]
    for exception in last_exceptions:
        assert "vars" not in exception["stacktrace"]["frames"][-1]
    for event in events:
        assert (event["release"], event["environment"]) == ("1.2.3", "test")
        assert not event.keys() & {"request", "user", "modules"}
        assert event.get("breadcrumbs", {"values": []}) == {"values": []}
    assert events[0]["tags"]["route"] == "v1.orders.create-one"
    assert events[0]["tags"]["request_id"] == answer.headers["X-Request-ID"]
    assert events[1]["tags"].keys() == {"request_id", "trace_id"}


@pytest.mark.sqlite_only("the error codes of its COMMIT")
@pytest.mark.parametrize(
    ("code", "detail"),
    [
        (sqlite3.SQLITE_BUSY, errors.AWAY),
        (sqlite3.SQLITE_FULL, errors.AWAY),
        (sqlite3.SQLITE_IOERR_FSYNC, errors.UNKNOWN),
    ],
)
def test_answer_to_a_failed_commit_says_what_is_known(
    client: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch, code: int, detail: str
) -> None:
    """A full or locked SQLite stores nothing; a failed sync leaves it open."""

    def fail(_: object) -> None:
        error = sqlite3.OperationalError("of a test")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(app_state(app).database.engine.dialect, "do_commit", fail)
    assert is_problem(client.post(ORDERS, json=ORDER), 503)["detail"] == detail


@pytest.mark.parametrize(("method", "detail"), [("POST", errors.UNKNOWN), ("GET", errors.AWAY)])
def test_failure_after_a_commit_does_not_deny_it(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, method: str, detail: str
) -> None:
    """A view that fails after it stored something does not say that nothing was stored."""
    lost = OperationalError("SELECT", {}, Exception("server closed the connection"))
    monkeypatch.setattr(orders.OrderSchema, "dump", raising(lost))
    monkeypatch.setattr(orders.OrderPage, "dump", raising(lost))
    answer = client.open(ORDERS, method=method, json=ORDER if method == "POST" else None)
    assert is_problem(answer, 503)["detail"] == detail
