"""The one shape of errors, and what becomes of exceptions that nobody foresaw."""

import json
import sqlite3
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, ImATeapot, MethodNotAllowed, TooManyRequests

from api import db, telemetry
from api.services import nodes
from observability import conventions as names
from tests.api.conftest import MakeApp
from tests.api.helpers import NODE, NODES, READINGS, TOKEN, batch, is_problem, reading, sample, stored


def raising(error: Exception) -> object:
    def view(*_: object, **__: object) -> None:
        raise error

    return view


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (MethodNotAllowed(["GET", "PUT"]), ("Allow", "GET, PUT")),
        (TooManyRequests(retry_after=7), ("Retry-After", "7")),
        (ImATeapot("short and stout"), ("Content-Type", "application/problem+json")),
    ],
)
def test_http_exceptions_keep_their_headers(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, error: HTTPException, header: tuple[str, str]
) -> None:
    """Whatever HTTP exception is raised, its status, words and headers reach the caller in our shape."""
    monkeypatch.setattr(nodes, "page", raising(error))
    client = make_app(check_answers=False).test_client()  # no view documents a 418
    answer = client.get(NODES, headers={"X-Load-Token": TOKEN})
    assert is_problem(answer, error.code or 0)["detail"] == error.description
    assert answer.headers[header[0]] == header[1]


def test_every_answer_carries_the_protective_headers(client: FlaskClient) -> None:
    """Good answers and errors alike forbid sniffing, framing and referrers."""
    for path in (NODES, "/nothing"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_an_unforeseen_exception_tells_nothing_and_logs_everything(
    make_app: MakeApp, database_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """500 without inner details, one log line with the traceback and the same request id, and one count for the route."""
    assert database_file.exists()
    app = make_app()
    monkeypatch.setattr(nodes, "page", raising(ZeroDivisionError("the secret inside")))
    body = is_problem(app.test_client().get(NODES), 500)
    assert "secret" not in json.dumps(body)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    [error] = [line for line in lines if line["level"] == "ERROR"]
    assert "ZeroDivisionError: the secret inside" in error["exc_info"]
    assert error["request_id"] == body["request_id"]
    assert sample(telemetry.registry_of(app), f"{names.HTTP_EXCEPTIONS}_total", route="nodes.list") == 1
    assert sample(telemetry.registry_of(app), f"{names.HTTP_DURATION}_count", route="nodes.list", status="5xx") == 1


def test_a_locked_database_is_unavailable(make_app: MakeApp, database_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that waits too long gets 503 with Retry-After and stores nothing; readers are not disturbed."""
    monkeypatch.setattr(db, "BUSY_SECONDS", 0.05)
    app = make_app()
    client = app.test_client()
    client.environ_base["HTTP_X_LOAD_TOKEN"] = TOKEN
    client.post(NODES, json=NODE)
    other = sqlite3.connect(database_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = client.post(READINGS, json=batch(reading()))
    is_problem(answer, 503)
    assert answer.headers["Retry-After"] == "5"
    assert client.get(READINGS).status_code == 200
    other.execute("ROLLBACK")
    other.close()
    assert stored(app) == 0
    assert client.post(READINGS, json=batch(reading())).status_code == 201
    assert sample(telemetry.registry_of(app), f"{names.HTTP_EXCEPTIONS}_total", route="readings.ingest") == 0


def test_running_out_of_connections_is_unavailable(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that has no connection left in time is 503, not an unforeseen exception."""
    monkeypatch.setattr(nodes, "page", raising(PoolTimeout("no connection")))
    is_problem(client.get(NODES), 503)


def test_before_the_migration_routes_are_unavailable(make_app: MakeApp) -> None:
    """Without tables every route of the database is 503."""
    is_problem(make_app().test_client().get(NODES), 503)


def test_validation_names_the_field(client: FlaskClient, app: Flask) -> None:
    """422 tells where, which field and why."""
    body = is_problem(client.post(NODES, json=NODE | {"kind": "house"}), 422)
    assert body["errors"] == {"json": {"kind": ["Must be one of: water_tank, bore_well, flow_meter."]}}
    assert stored(app) == 0
