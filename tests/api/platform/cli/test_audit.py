"""`flask audit`: the table, JSON and --since."""

import json
from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient

from api.platform.clock import now
from api.platform.db import database
from api.platform.tables import AuditEntry
from tests.api.platform.helpers import KEYS, ORDER, ORDERS, bearer


def run(app: Flask, *options: str) -> str:
    """Run the command and return its output."""
    return app.test_cli_runner().invoke(args=["audit", *options]).output


def test_audit_prints_one_line_per_entry(app: Flask, client: FlaskClient) -> None:
    """Each line says when, what and who."""
    client.post(ORDERS, json=ORDER, headers=bearer(KEYS["write"]))
    [line] = run(app).splitlines()
    assert line.split()[2:6] == ["v1.orders.create-one", "insert", "orders/a-1", "write"]


def test_audit_prints_json(app: Flask, client: FlaskClient) -> None:
    """With --json each entry is one JSON object on its own line."""
    for number in (1, 2):
        client.post(ORDERS, json=ORDER | {"id": f"a-{number}"}, headers=bearer(KEYS["write"]))
    first, second = [json.loads(line) for line in run(app, "--json").splitlines()]
    assert (first["id"], second["id"], second["subject"]) == (1, 2, "orders/a-2")
    assert {"id", "amount"} <= set(second["fields"])


def test_since_omits_older_entries(app: Flask, client: FlaskClient) -> None:
    """Only entries of the given duration are printed."""
    client.post(ORDERS, json=ORDER)
    old = AuditEntry(action="old", subject="x", change="insert", fields=[])
    old.time = now() - timedelta(days=2)
    with app.app_context(), database().write() as session:
        session.add(old)
    assert "old" in run(app)
    assert "old" not in run(app, "--since", "1d")
    assert "v1.orders.create-one" in run(app, "--since", "1d")
    assert "is no duration" in run(app, "--since", "soon")
    assert "is no duration" in run(app, "--since", "١d")
    assert "is too long" in run(app, "--since", "99999999999d")
