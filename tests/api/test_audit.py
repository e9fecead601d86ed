"""The audit log of the nouns: which changes are recorded."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.models import Latest, Reading, SyncState
from api.platform.tables import AuditEntry, Base, DeadLetter, Delivery, IdempotentResponse, Lease
from observability.spec import loading
from tests.api.helpers import NODE, NODES, READINGS, batch, reading
from tests.api.platform.test_audit import entries_of

# One change by each route that changes something, in an order in which they work.
ROOT = Path(__file__).resolve().parents[2]
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


def test_every_changing_route_writes_an_entry(app: Flask, client: FlaskClient) -> None:
    """Each route of the catalogue that is not a GET."""
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


def test_entry_names_only_changed_fields(app: Flask, client: FlaskClient, node: str) -> None:
    """A change that changes nothing writes no entry."""
    assert (
        client.patch(
            f"{NODES}/{node}", json={"name": NODE["name"], "kind": "bore_well"}
        ).status_code
        == 200
    )
    assert entries_of(app)[-1].fields == ["kind"]
    assert client.patch(f"{NODES}/{node}", json={"kind": "bore_well"}).status_code == 200
    assert len(entries_of(app)) == 2


def test_readings_are_not_recorded(app: Flask, client: FlaskClient, node: str) -> None:
    """A batch of readings writes no entry."""
    assert client.post(READINGS, json=batch(reading())).status_code == 201
    assert [entry.action for entry in entries_of(app)] == ["nodes.create"]
    assert node


def test_unaudited_tables_are_the_expected_ones() -> None:
    """Readings and their derived tables, jobs, responses for repeats, and the log itself."""
    unaudited = {mapper.class_ for mapper in Base.registry.mappers if not mapper.class_.__audited__}
    assert unaudited == {
        Reading,
        Latest,
        SyncState,
        AuditEntry,
        Lease,
        Delivery,
        DeadLetter,
        IdempotentResponse,
    }


def test_commands_write_entries(app: Flask) -> None:
    """The action is the name of the command."""
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


def test_action_of_a_command_does_not_depend_on_how_flask_was_started(
    app: Flask, migrated: str
) -> None:
    """`python -m flask` and `flask` write the same entries, also for groups of commands."""
    flask = [sys.executable, "-m", "flask", "--app", "api.app"]
    environment = os.environ | {"EVARA_DATABASE_URL": migrated}
    for words in (["seed"], ["keys", "create", "of a test", "--scope", "read"]):
        subprocess.run([*flask, *words], cwd=ROOT, env=environment, check=True, capture_output=True)
    assert {entry.action for entry in entries_of(app)} == {"cli.keys.create", "cli.seed"}
