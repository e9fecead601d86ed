"""The audit log: every change has an entry in its transaction; no entry can be changed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import DatabaseError
from werkzeug.test import TestResponse

from api.models import Latest, Node, Reading, SyncState
from api.platform import audit
from api.platform.clock import now
from api.platform.db import database
from api.platform.state import app_state
from api.platform.tables import AuditEntry, Base, DeadLetter, Delivery, Lease
from observability.spec import loading
from tests.api.conftest import NOUNS, MakeApp
from tests.api.helpers import NODE, NODES, READINGS, batch, reading
from tests.api.platform.helpers import KEYS, bearer

APP_KIND = NOUNS

# One change by each route that changes something, in an order in which they work.
ROOT = Path(__file__).resolve().parents[3]
CHANGES: dict[str, Callable[[FlaskClient], TestResponse]] = {
    "nodes.create": lambda client: client.post(NODES, json=NODE),
    "nodes.update": lambda client: client.patch(f"{NODES}/tank-01", json={"name": "Renamed"}),
    "nodes.delete": lambda client: client.delete(f"{NODES}/tank-01"),
    "keys.create": lambda client: client.post(
        "/api/v1/keys", json={"name": "of a test", "scope": "read"}
    ),
    "keys.revoke": lambda client: client.delete("/api/v1/keys/read"),
}
TABLES = {"nodes": "nodes", "keys": "api_keys"}
UNRECORDED = {"readings.ingest"}  # append-only, with a time of their own: docs/security.md
FULL = {  # statements that make the audit log refuse entries
    "sqlite": ["CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END"],
    "postgresql": [
        "CREATE FUNCTION full_up() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE EXCEPTION 'full'; END $$",
        "CREATE TRIGGER full_up BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION full_up()",
    ],
}


def entries_of(app: Flask) -> list[AuditEntry]:
    with app.app_context(), database().read() as session:
        return audit.entries(session)


def test_every_changing_route_leaves_an_entry(app: Flask, client: FlaskClient) -> None:
    """Each route of the catalogue that is not a GET writes one."""
    assert {
        route.id for route in loading.load_plan().routes if route.http.method != "GET"
    } == CHANGES.keys() | UNRECORDED
    for number, (route, change) in enumerate(CHANGES.items(), 1):
        assert change(client).status_code in {200, 201, 204}
        entries = entries_of(app)
        assert (len(entries), entries[-1].action, entries[-1].subject.split("/")[0]) == (
            number,
            route,
            TABLES[route.split(".")[0]],
        )


def test_an_entry_says_who_what_and_when(app: Flask, client: FlaskClient) -> None:
    """It has time, action, subject, field names, key, address, request and trace, but no value."""
    secret, trace = "SECRETKEY123", "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"X-Request-ID": "request-0001", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    before = now()
    body = NODE | {"channel_id": 7, "channel_key": secret}
    assert client.post(NODES, json=body, headers=headers | bearer(KEYS["write"])).status_code == 201
    [entry] = entries_of(app)
    assert before <= entry.time <= now()
    assert (entry.action, entry.change, entry.subject) == (
        "nodes.create",
        "insert",
        "nodes/tank-01",
    )
    assert set(entry.fields) == {"id", "name", "kind", "channel_id", "channel_key", "fields"}
    assert (entry.key_id, entry.address) == ("write", "127.0.0.1")
    assert (entry.request_id, entry.trace_id) == ("request-0001", trace)
    assert secret not in str(
        [getattr(entry, column.key) for column in AuditEntry.__table__.columns]
    )


def test_only_what_changed_is_named(app: Flask, client: FlaskClient, node: str) -> None:
    """Fields with the same value as before are not named; without a change there is no entry."""
    assert (
        client.patch(
            f"{NODES}/{node}", json={"name": NODE["name"], "kind": "bore_well"}
        ).status_code
        == 200
    )
    assert entries_of(app)[-1].fields == ["kind"]
    assert client.patch(f"{NODES}/{node}", json={"kind": "bore_well"}).status_code == 200
    assert len(entries_of(app)) == 2


@pytest.mark.usefixtures("migrated")
def test_the_address_is_the_one_behind_declared_proxies(make_app: MakeApp) -> None:
    """A forged X-Forwarded-For does not get into the log."""
    app = make_app(proxy_hops=1)
    app.test_client().post(NODES, json=NODE, headers={"X-Forwarded-For": "6.6.6.6, 10.0.0.9"})
    assert entries_of(app)[0].address == "10.0.0.9"


def test_a_refused_change_leaves_no_entry(app: Flask, client: FlaskClient, node: str) -> None:
    """Invalid, conflicting and missing nodes change nothing."""
    answers = [
        client.post(NODES, json=NODE),
        client.post(NODES, json=NODE | {"kind": "house"}),
        client.delete(f"{NODES}/nobody"),
        client.patch(f"{NODES}/nobody", json={"name": "x"}),
    ]
    assert [answer.status_code for answer in answers] == [409, 422, 404, 404]
    assert len(entries_of(app)) == len([node])


@pytest.mark.parametrize("route", ["nodes.update", "nodes.delete"])
def test_a_change_that_cannot_be_recorded_is_rolled_back(
    app: Flask, client: FlaskClient, node: str, route: str
) -> None:
    """The entry is written in the transaction of the change."""
    with app_state(app).database.engine.begin() as connection:
        for statement in FULL[connection.dialect.name]:
            connection.exec_driver_sql(statement)
    client.holds_contract = False  # no view documents a full audit log
    assert CHANGES[route](client).status_code >= 400
    assert client.get(f"{NODES}/{node}").get_json()["name"] == NODE["name"]
    assert len(entries_of(app)) == 1


def test_readings_are_not_recorded(app: Flask, client: FlaskClient, node: str) -> None:
    """A batch of readings writes no entry."""
    assert client.post(READINGS, json=batch(reading())).status_code == 201
    assert [entry.action for entry in entries_of(app)] == ["nodes.create"]
    assert node


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET action = 'x'",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 1",
        "UPDATE audit SET id = 7 WHERE id = 1",
    ],
)
def test_entries_cannot_be_changed(
    app: Flask, client: FlaskClient, node: str, statement: str
) -> None:
    """Triggers refuse it for every client."""
    assert node
    assert client
    with (
        app.app_context(),
        pytest.raises(DatabaseError, match="append-only"),
        database().write() as session,
    ):
        session.execute(text(statement))
    assert [entry.action for entry in entries_of(app)] == ["nodes.create"]


@pytest.mark.parametrize(
    "statement", [delete(Node), update(Node).values(name="x"), insert(Node).values(**NODE)]
)
def test_a_bulk_change_of_an_audited_table_is_refused(app: Flask, statement: object) -> None:
    """A statement does not name the objects it changes, so it would leave a gap."""
    with (
        app.app_context(),
        pytest.raises(RuntimeError, match="Node is audited"),
        database().write() as session,
    ):
        session.execute(statement)


def test_every_table_says_whether_it_is_audited() -> None:
    """Those that are not: readings and what derives from them, jobs, and the log itself."""
    unaudited = {mapper.class_ for mapper in Base.registry.mappers if not mapper.class_.__audited__}
    assert unaudited == {
        Reading,
        Latest,
        SyncState,
        AuditEntry,
        Lease,
        Delivery,
        DeadLetter,
    }


def test_commands_leave_entries(app: Flask) -> None:
    """A change by a command has the command's name as its action."""
    runner = app.test_cli_runner()
    runner.invoke(args=["seed"])
    assert next((entry.action, entry.subject, entry.request_id) for entry in entries_of(app)) == (
        "cli.seed",
        "nodes/main-branch",
        None,
    )
    assert len(entries_of(app)) == 3
    runner.invoke(args=["seed"])
    assert len(entries_of(app)) == 3


def test_the_action_does_not_depend_on_how_flask_was_started(app: Flask, migrated: str) -> None:
    """`python -m flask` and `flask` make the same entries, those of groups too."""
    flask = [sys.executable, "-m", "flask", "--app", "api.app"]
    environment = os.environ | {"EVARA_DATABASE_URL": migrated}
    for words in (["seed"], ["keys", "create", "of a test", "--scope", "read"]):
        subprocess.run([*flask, *words], cwd=ROOT, env=environment, check=True, capture_output=True)
    assert {entry.action for entry in entries_of(app)} == {"cli.keys.create", "cli.seed"}


def test_code_outside_requests_and_commands_leaves_entries(app: Flask) -> None:
    """A change from a shell is recorded, too."""
    with app.app_context(), database().write() as session:
        session.add(Node(**NODE, fields={}))
    assert [(entry.action, entry.address) for entry in entries_of(app)] == [("code.insert", None)]
