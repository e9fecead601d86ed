"""The audit log: each change has an entry in its transaction; entries are immutable."""

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import DatabaseError

from api.platform import audit
from api.platform.clock import now
from api.platform.db import database
from api.platform.state import app_state
from api.platform.tables import AuditEntry
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import KEYS, ORDER, ORDERS, bearer
from tests.api.platform.other_app.models import Order

ROOT = Path(__file__).resolve().parents[3]

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


def test_entry_says_who_changed_what_and_when(app: Flask, client: FlaskClient) -> None:
    """Time, action, subject, field names, key, address and ids, but no value."""
    secret, trace = "4711.25", "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"X-Request-ID": "request-0001", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    before = now()
    body = ORDER | {"amount": float(secret)}
    assert (
        client.post(ORDERS, json=body, headers=headers | bearer(KEYS["write"])).status_code == 201
    )
    [entry] = entries_of(app)
    assert before <= entry.time <= now()
    assert (entry.action, entry.change, entry.subject) == (
        "v1.orders.create-one",
        "insert",
        "orders/a-1",
    )
    assert set(entry.fields) == {"id", "amount"}
    assert (entry.key_id, entry.address) == ("write", "127.0.0.1")
    assert (entry.request_id, entry.trace_id) == ("request-0001", trace)
    assert secret not in str(
        [getattr(entry, column.key) for column in AuditEntry.__table__.columns]
    )


def test_key_in_a_subject_is_redacted(app: Flask) -> None:
    """A caller may choose a key as the id of an object."""
    with app.app_context(), database().write() as session:
        session.add(Order(id="evara_A1b2C3d4E5", amount=1))
    [entry] = entries_of(app)
    assert entry.subject == "orders/[redacted]"


@pytest.mark.parametrize(
    ("forwarded_for", "address"),
    [
        ("6.6.6.6, 10.0.0.9", "10.0.0.9"),
        ("10.0.0.9:40000", "10.0.0.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("x" * 100, "127.0.0.1"),
    ],
)
@pytest.mark.usefixtures("migrated")
def test_address_is_the_one_that_declared_proxies_report(
    make_app: MakeApp, forwarded_for: str, address: str
) -> None:
    """A forged X-Forwarded-For is not recorded."""
    app = make_app(proxy_hops=1)
    client = app.test_client()
    answer = client.post(ORDERS, json=ORDER, headers={"X-Forwarded-For": forwarded_for})
    assert answer.status_code == 201
    assert entries_of(app)[0].address == address


def test_refused_change_leaves_no_entry(app: Flask, client: FlaskClient) -> None:
    """Invalid, conflicting and missing objects change nothing."""
    answers = [
        client.post(ORDERS, json=ORDER),
        client.post(ORDERS, json=ORDER),
        client.post(ORDERS, json=ORDER | {"amount": "much"}),
        client.delete("/api/v1/keys/nothing"),
    ]
    assert [answer.status_code for answer in answers] == [201, 409, 422, 404]
    assert len(entries_of(app)) == 1


def test_change_that_cannot_be_recorded_is_rolled_back(app: Flask, client: FlaskClient) -> None:
    """The entry is written in the transaction of the change."""
    with app_state(app).database.engine.begin() as connection:
        for statement in FULL[connection.dialect.name]:
            connection.exec_driver_sql(statement)
    client.holds_contract = False  # no view documents a full audit log
    assert client.post(ORDERS, json=ORDER).status_code >= 400
    assert client.get(ORDERS).get_json()["total"] == 0
    assert entries_of(app) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET action = 'x'",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 1",
        "UPDATE audit SET id = 7 WHERE id = 1",
    ],
)
def test_entries_cannot_be_changed(app: Flask, client: FlaskClient, statement: str) -> None:
    """Triggers refuse updates and deletions by every client."""
    client.post(ORDERS, json=ORDER)
    refuse_statement(app, statement)
    assert [entry.action for entry in entries_of(app)] == ["v1.orders.create-one"]


COLUMNS = "(id, time, action, subject, change, fields)"
VALUES = "VALUES (1, '2020-01-01', 'forged', 's', 'insert', '[]')"
UPSERT = f"INSERT INTO audit {COLUMNS} {VALUES} ON CONFLICT (id) DO UPDATE SET action = 'forged'"
REPLACEMENTS = {
    "sqlite": [
        UPSERT,
        f"REPLACE INTO audit {COLUMNS} {VALUES}",
        f"INSERT OR REPLACE INTO audit {COLUMNS} {VALUES}",
        f"REPLACE INTO audit {COLUMNS.replace('id', 'rowid', 1)} {VALUES}",
        "REPLACE INTO audit SELECT * FROM audit",
        "UPDATE OR REPLACE audit SET action = 'forged'",
    ],
    "postgresql": [
        UPSERT,
        "MERGE INTO audit USING (SELECT 1 AS id) AS source ON audit.id = source.id"
        " WHEN MATCHED THEN UPDATE SET action = 'forged'",
        "TRUNCATE audit",
    ],
}


def test_entries_cannot_be_replaced(app: Flask, client: FlaskClient) -> None:
    """An insert that replaces an entry is refused, and new entries are still recorded."""
    client.post(ORDERS, json=ORDER)
    dialect = app_state(app).database.engine.name
    for statement in REPLACEMENTS[dialect]:
        refuse_statement(app, statement)
    assert client.post(ORDERS, json=ORDER | {"id": "a-2"}).status_code == 201
    entries = [(entry.id, entry.action) for entry in entries_of(app)]
    assert entries == [(1, "v1.orders.create-one"), (2, "v1.orders.create-one")]


def test_documented_statements_delete_old_entries(app: Flask, client: FlaskClient) -> None:
    """Those of docs/security.md for this engine; afterwards, entries cannot be deleted again."""
    client.post(ORDERS, json=ORDER)
    database_of_app = app_state(app).database
    with database_of_app.write() as session:
        session.execute(text(f"INSERT INTO audit {COLUMNS} {VALUES.replace('(1,', '(1000,')}"))
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^(?: {4}.*\n)+", page, re.MULTILINE)
    marks = {"sqlite": "DROP TRIGGER", "postgresql": "DISABLE TRIGGER"}
    [block] = [block for block in blocks if marks[database_of_app.engine.name] in block]
    raw = database_of_app.engine.raw_connection()
    cursor = raw.cursor()
    for statement in block.splitlines():
        cursor.execute(statement.strip())
    raw.close()
    assert [entry.action for entry in entries_of(app)] == ["v1.orders.create-one"]
    refuse_statement(app, "DELETE FROM audit")


def refuse_statement(app: Flask, statement: str) -> None:
    """Run the statement and assert that a trigger refuses it."""
    with (
        app.app_context(),
        pytest.raises(DatabaseError, match="append-only"),
        database().write() as session,
    ):
        session.execute(text(statement))


@pytest.mark.parametrize(
    "statement", [delete(Order), update(Order).values(amount=1), insert(Order).values(**ORDER)]
)
def test_bulk_change_of_an_audited_table_is_refused(app: Flask, statement: object) -> None:
    """The statement does not name the objects that it changes."""
    with (
        app.app_context(),
        pytest.raises(RuntimeError, match="Order is audited"),
        database().write() as session,
    ):
        session.execute(statement)


def test_code_outside_requests_and_commands_leaves_entries(app: Flask) -> None:
    """A change from a shell is recorded, too."""
    with app.app_context(), database().write() as session:
        session.add(Order(**ORDER))
    assert [(entry.action, entry.address) for entry in entries_of(app)] == [("code.insert", None)]
