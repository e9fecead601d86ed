"""`flask audit`: the table, JSON and --since."""

import json
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.platform.clock import now
from api.platform.db import database
from api.platform.tables import AuditEntry
from tests.api.conftest import NOUNS
from tests.api.helpers import NODES
from tests.api.platform.helpers import KEYS, bearer

APP_KIND = NOUNS


def run(app: Flask, *options: str) -> str:
    """Run the command and return its output."""
    return app.test_cli_runner().invoke(args=["audit", *options]).output


def test_the_log_is_printed_for_people(app: Flask, client: FlaskClient, node: str) -> None:
    """There is one line for each entry."""
    client.patch(f"{NODES}/{node}", json={"name": "x"}, headers=bearer(KEYS["write"]))
    _, line = run(app).splitlines()
    assert line.split()[2:] == ["nodes.update", "update", "nodes/tank-01", "write", "['name']"]


def test_the_log_is_printed_as_json(app: Flask, client: FlaskClient, node: str) -> None:
    """There is one object for each entry."""
    client.patch(f"{NODES}/{node}", json={"name": "x"}, headers=bearer(KEYS["write"]))
    first, second = [json.loads(line) for line in run(app, "--json").splitlines()]
    assert (first["id"], second["id"], second["fields"]) == (1, 2, ["name"])


@pytest.mark.usefixtures("node")
def test_since_leaves_out_older_entries(app: Flask) -> None:
    """Entries of the given duration are printed."""
    old = AuditEntry(action="old", subject="x", change="insert", fields=[])
    old.time = now() - timedelta(days=2)
    with app.app_context(), database().write() as session:
        session.add(old)
    assert "old" in run(app)
    assert "old" not in run(app, "--since", "1d")
    assert "nodes.create" in run(app, "--since", "1d")
    assert "is no duration" in run(app, "--since", "soon")
