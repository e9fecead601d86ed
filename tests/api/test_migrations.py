"""Migrations: upgrade, downgrade, and agreement with the models."""

from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import check, downgrade, upgrade
from sqlalchemy import inspect

from api.platform import keys
from api.platform.db import database
from tests.api.conftest import MakeApp
from tests.api.helpers import NODE, NODES, reading, send, stored
from tests.api.platform.helpers import bearer


def tables(app: Flask) -> set[str]:
    with app.app_context():
        return set(inspect(database().engine).get_table_names())


def test_migrations_can_be_reverted_and_repeated(make_app: MakeApp) -> None:
    """The app works afterwards."""
    app = make_app()
    with app.app_context():
        upgrade()
    full = tables(app)
    assert {
        "nodes",
        "readings",
        "latest",
        "sync_states",
        "api_keys",
        "audit",
        "leases",
        "deliveries",
        "dead_letters",
    } <= full
    with app.app_context():
        downgrade(revision="base")
    assert tables(app) == {"alembic_version"}
    with app.app_context():
        upgrade()
        token = keys.create(name="test", scope="write").token
    assert tables(app) == full
    assert app.test_client().post(NODES, json=NODE, headers=bearer(token)).status_code == 201


def test_models_and_migrations_agree(app: Flask) -> None:
    """A generated migration would be empty."""
    with app.app_context():
        check()  # exits when it finds a difference


def test_downgrade_keeps_the_readings(app: Flask, client: FlaskClient, node: str) -> None:
    """Removing columns of nodes deletes no rows."""
    send(client, reading(0), reading(1))
    with app.app_context():
        downgrade(revision="0003")
        upgrade()
    assert (node, stored(app)) == (NODE["id"], 2)
