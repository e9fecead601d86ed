"""Log lines: JSON, one per request, with the ids of the request and without secrets."""

import json
import logging
import re
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask, g
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError, OperationalError

from api.platform import db
from api.platform.db import database
from api.platform.jobs.worker import Jobs
from api.platform.state import app_state
from api.platform.telemetry import logs, metrics
from observability.spec.redaction import redact
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import ORDER, ORDERS, UNLIMITED, bearer
from tests.api.platform.other_app import orders
from tests.api.platform.other_app.models import Order
from tests.api.platform.other_app.orders import SHIP, SHIPPING

Lines = list[dict[str, Any]]


@pytest.fixture
def lines_of(make_app: MakeApp, migrated: str, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that sends one request to a new app: its response and the logged lines."""
    assert migrated

    def send(path: str, **words: Any) -> tuple[Any, Lines]:
        # The app is made here because its log handler takes this test phase's standard error.
        client = make_app().test_client()
        answer = client.open(path, **words)
        return answer, [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    return send


@pytest.mark.parametrize(
    ("path", "method", "route", "status"),
    [
        (ORDERS, "GET", "orders.list", 200),
        ("/api/v1/keys/x", "DELETE", "keys.revoke", 404),
        (f"{ORDERS}?page=0", "GET", "orders.list", 422),
        ("/no\nthing", "GET", "unmatched", 404),
        ("/%ff%00", "GET", "unmatched", 404),
        ("/health", "BREW", "unmatched", 405),
        ("/health/live", "HEAD", "health.live", 200),
    ],
)
def test_every_request_writes_one_line(
    lines_of: Any, path: str, method: str, route: str, status: int
) -> None:
    """It has the route, method, status, duration and id."""
    answer, [line] = lines_of(path, method=method)
    assert (line["route"], line["method"], line["status"]) == (route, method, status)
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert line["duration_ms"] >= 0
    assert (line["service"], line["env"], line["level"]) == ("orders-api", "test", "INFO")
    assert line["timestamp"]


@pytest.mark.parametrize("request_id", ["abcd1234", "a" * 64, "trace:0af7-6519.cd_43"])
def test_well_formed_request_id_is_used(lines_of: Any, request_id: str) -> None:
    """The response and the log line have the caller's id."""
    answer, [line] = lines_of("/health/live", headers={"X-Request-ID": request_id})
    assert answer.headers["X-Request-ID"] == line["request_id"] == request_id


@pytest.mark.parametrize(
    "request_id", ["", "short", "a" * 65, "has space", '{"level":1}', "ümlaut12", "abcd1234;"]
)
def test_malformed_request_id_is_replaced(lines_of: Any, request_id: str) -> None:
    """An id of another length, or with other characters, is never logged."""
    headers = {"X-Request-ID": request_id.encode().decode("latin-1")}
    answer, [line] = lines_of("/health/live", headers=headers)
    assert answer.headers["X-Request-ID"] == line["request_id"] != request_id
    assert len(line["request_id"]) == 32


def test_lines_outside_requests_have_no_id(
    make_app: MakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    """Jobs and start-up use the same format."""
    make_app(log_level="WARNING")
    logging.getLogger("somewhere").warning("words", extra={"node": "n1"})
    logging.getLogger("somewhere").info("too quiet")
    [line] = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert (line["message"], line["node"], line["request_id"]) == ("words", "n1", None)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://evara:hunter2@db:5432/evara",
        "redis://:hunter2@cache:6379/0",
        "amqp://evara:hun@ter2/hunter2@host",
        "Authorization: Bearer hunter2hunter2",
        "authorization: basic aHVudGVyMg==hunter2",
        "GET /feeds.json?api_key=hunter2&results=1",
        "X-API-Key: hunter2",
        '{"api_key": "hunter2", "password": "a hunter2 b"}',
        "{'channel_key': 'hunter2'}",
        "password='hunter2'",
        "evara_0a1B2c3D4_hunter2hunter2",
        "token=hunter2;secret=hunter2",
    ],
)
def test_secrets_are_redacted_anywhere_in_a_line(
    make_app: MakeApp, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """In message, argument, extra, nested extra and traceback."""
    make_app()
    log = logging.getLogger("somewhere")
    log.warning(text)
    log.warning("a %s b %r", text, {"x": text})
    log.warning("words", extra={"text": text, "nested": {"list": [text, {"deep": text}]}})
    try:
        raise RuntimeError(text)
    except RuntimeError:
        log.exception("broken")
    out = capsys.readouterr()
    assert "hunter2" not in out.err + out.out
    lines = [json.loads(line) for line in out.err.splitlines()]
    assert len(lines) == 4
    assert all("[redacted]" in json.dumps(line) for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "key_id=abcd1234",
        "evara_http_unhandled_exceptions_total",
        "http://127.0.0.1:8000/x",
        "api_key=",
        '{"token": null}',
    ],
)
def test_names_and_addresses_are_not_redacted(text: str) -> None:
    """Readers of the log search for them."""
    assert redact(text) == text


@given(
    st.dictionaries(
        st.sampled_from(["token", "api_key", "x", "password"]),
        st.text() | st.none() | st.integers(-(2**63), 2**63),
    ),
    st.text(),
)
def test_redacted_line_is_valid_json(extra: dict[str, Any], text: str) -> None:
    """Whatever the line contains."""
    for inner in (text, f"token={text}", f"://a:{text}@", f'"secret": "{text}', json.dumps(extra)):
        json.loads(redact(orjson.dumps({"message": inner, **extra}, default=str).decode()))


SECRET = "hunter2hunter2"


def test_secrets_of_a_request_are_neither_logged_nor_returned(
    make_app: MakeApp,
    migrated: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Secrets in headers, path, query, body and exceptions."""
    assert migrated
    client = make_app().test_client()
    headers = bearer(UNLIMITED) | {
        "X-API-Key": f"evara_k1_{SECRET}",
        "X-Request-ID": f"evara_k1_{SECRET}",
    }
    odd = {
        "traceparent": SECRET,
        "User-Agent": SECRET,
        "Referer": SECRET,
        "Cookie": f"session={SECRET}",
    }
    answers = [
        client.get(f"{ORDERS}/evara_k1_{SECRET}", headers=headers),
        client.get(f"{ORDERS}?api_key={SECRET}&api_key={SECRET}", headers=headers),
        client.get(f"/token={SECRET}", headers=headers),
        client.get(ORDERS, headers=headers | bearer(SECRET)),
        client.post(
            ORDERS, json={"id": "x", "api_key": SECRET, f"api_key={SECRET}": 1}, headers=headers
        ),
        client.post(ORDERS, data=SECRET, content_type="application/json", headers=headers),
    ]

    def away(*_: object, **__: object) -> None:
        raise OperationalError(
            "SELECT",
            {"key": SECRET},
            Exception(f"cannot reach postgresql://evara:{SECRET}@db/evara"),
            hide_parameters=True,
        )

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"redis://:{SECRET}@cache, api_key={SECRET}, {headers}")

    for error in (away, broken):
        monkeypatch.setattr(orders, "paged", error)
        answers.append(client.get(ORDERS, headers=headers | odd))
    assert [answer.status_code for answer in answers] == [404, 422, 404, 401, 422, 400, 503, 500]
    out = capsys.readouterr()
    assert SECRET not in out.err + out.out
    assert UNLIMITED not in out.err + out.out
    assert not [answer.text for answer in answers if SECRET in answer.text]
    assert SECRET not in str([list(answer.headers) for answer in answers])


def test_values_of_a_failed_statement_are_not_logged(
    make_app: MakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line has its placeholders; the values may be keys."""
    client = make_app(env="development", development_key="known").test_client()  # without tables
    answer = client.post(ORDERS, json={"id": SECRET, "amount": 1}, headers=bearer("known"))
    assert answer.status_code == 503
    out = capsys.readouterr().err
    assert re.search("no such table|does not exist", out)
    assert SECRET not in out


def test_rows_that_the_database_refuses_are_not_logged(app: Flask) -> None:
    """PostgreSQL quotes the row, which may hold secrets, in its error."""
    row = {"id": SECRET, "amount": None}
    with app.app_context(), pytest.raises(IntegrityError) as refused, database().write() as session:
        session.execute(insert(Order.__table__).values(row))
    lines = "".join(traceback.format_exception(refused.value))
    assert "amount" in lines
    assert SECRET not in lines


def test_line_has_the_usage_of_its_request(
    make_app: MakeApp, migrated: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time and statements in the database, time in other services, and the key."""
    assert migrated
    app = make_app(version="1.2.3")

    @app.get("/busy")
    def busy() -> str:
        g.key_id = "k1"
        with db.database().read() as session:
            for _ in range(3):
                session.execute(text("SELECT 1"))
        with metrics.dependency_call("warehouse"):
            time.sleep(0.02)
        return ""

    client = app.test_client()
    client.get("/busy", headers={"Authorization": ""})
    client.get("/health/live")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["db_queries"], first["key_id"], first["version"]) == (3, "k1", "1.2.3")
    assert 0 < first["db_ms"] < first["duration_ms"]
    assert 20 <= first["outbound_ms"] <= first["duration_ms"]
    assert (second["db_ms"], second["db_queries"], second["outbound_ms"]) == (0, 0, 0)
    assert second["key_id"] is None


@pytest.mark.usefixtures("migrated")
def test_each_run_of_a_job_has_its_own_ids(
    make_app: MakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    """All lines of a run share them; the last line has the sums; a failure is one line."""
    app = make_app()
    assert app.test_client().post(ORDERS, json=ORDER).status_code == 201
    capsys.readouterr()

    def work(*_: object) -> Iterator[int]:
        logging.getLogger("somewhere").info("in the middle")
        yield 1

    def broken(*_: object) -> Iterator[int]:
        raise ZeroDivisionError

    for job in (work, work, broken):
        app_state(app).tasks = (replace(SHIPPING, run=job),)
        Jobs(app).runners[SHIP].run_all()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    done = ["in the middle", logs.JOB_DONE]
    assert [line["message"] for line in lines] == [*done, *done, logs.JOB_FAILED]
    ids = [(line["request_id"], line["trace_id"]) for line in lines]
    assert ids[0] == ids[1] != ids[2] == ids[3] != ids[4]
    assert all(all(pair) for pair in ids)
    assert all(line["db_queries"] > 0 for line in lines[1::2])
    assert "ZeroDivisionError" in lines[-1]["exc_info"]


def test_line_that_cannot_be_formatted_names_the_call(
    make_app: MakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, without the arguments of the call."""
    make_app()
    logging.getLogger("somewhere").warning("%d apples", SECRET)
    [line] = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert "test_logs.py" in line["message"]
    assert SECRET not in json.dumps(line)


def test_repetitive_logger_writes_one_line_a_minute(
    make_app: MakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other loggers are not affected."""
    make_app()
    for name in ("opentelemetry.sdk", "opentelemetry.exporter", "somewhere", "somewhere"):
        logging.getLogger(name).warning("words")
    loggers = [json.loads(text)["logger"] for text in capsys.readouterr().err.splitlines()]
    assert loggers == ["opentelemetry.sdk", "somewhere", "somewhere"]


def test_every_field_of_a_request_line_is_documented(lines_of: Any) -> None:
    """docs/logs.md lists it in its table."""
    _, [line] = lines_of(ORDERS)
    page = Path(__file__).resolve().parents[4] / "docs" / "logs.md"
    documented = page.read_text(encoding="utf-8")
    assert [name for name in line if f"| `{name}` |" not in documented] == []
