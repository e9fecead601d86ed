"""Migrations: upgrade, downgrade, agreement with the models, and the rules for releases."""

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import check, downgrade, upgrade
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

from api.platform import keys
from api.platform.db import database
from tests.api.conftest import MakeApp
from tests.api.helpers import NODE, NODES, reading, send, stored
from tests.api.platform.helpers import bearer
from tests.migration_lint import (
    BREAKING,
    MIGRATIONS,
    add_migration,
    check_migrations,
    check_statements,
)


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
        "idempotent_responses",
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


def test_migrations_keep_the_running_release_working(make_app: MakeApp) -> None:
    """They remove, rename and require nothing, unless the contract phase has come."""
    with make_app().app_context():
        assert check_migrations(MIGRATIONS) == []


@pytest.mark.parametrize("change", BREAKING)
@pytest.mark.parametrize("marker", ["", 'contract_phase = "0.9 was the last release to use it"'])
def test_contract_phase_allows_breaking_migrations(
    make_app: MakeApp, tmp_path: Path, change: str, marker: str
) -> None:
    """Without its mark they are refused, with the file and the fix."""
    with make_app().app_context():
        problems = check_migrations(add_migration(tmp_path, change, marker))
    assert len(problems) == int(not marker)
    for problem in problems:
        assert problem.startswith("9999_more.py: ")
        assert "fix: add what the next release needs" in problem


@pytest.mark.parametrize(
    ("statements", "problems"),
    [
        (["ALTER TABLE nodes ADD COLUMN site TEXT"], 0),
        (["ALTER TABLE nodes ADD COLUMN site TEXT DEFAULT 'here' NOT NULL"], 0),
        (["ALTER TABLE nodes ADD COLUMN site TEXT NOT NULL DEFAULT 'here'"], 0),
        (["CREATE TABLE sites (id TEXT NOT NULL)", "UPDATE nodes SET site = 'here'"], 0),
        (["CREATE TABLE _alembic_tmp_a (b)", "DROP TABLE a", "ALTER _alembic_tmp_a RENAME a"], 0),
        (["CREATE TABLE _alembic_tmp_a (b)", "DROP TABLE b"], 1),
        (["ALTER TABLE nodes ADD COLUMN site TEXT NOT NULL"], 1),
        (["ALTER TABLE nodes ALTER COLUMN site SET NOT NULL"], 1),
        (["ALTER TABLE nodes ALTER COLUMN site TYPE TEXT"], 1),
        (["alter table nodes drop constraint ck_nodes_kind", "DROP INDEX ix_nodes_kind"], 2),
    ],
)
def test_statements_that_break_the_running_release(statements: list[str], problems: int) -> None:
    """A copy of a SQLite table, which batch mode makes, is none."""
    assert len(list(check_statements(statements))) == problems


def test_failed_migration_leaves_nothing_behind(make_app: MakeApp, tmp_path: Path) -> None:
    """The database is as before, so the running release goes on."""
    change = (
        "op.create_table('half', sa.Column('id', sa.Integer))\n"
        "    op.add_column('nodes', sa.Column('half', sa.Integer))\n"
        "    op.execute('UPDATE nodes SET nothing = 1')"
    )
    app = make_app()
    with app.app_context():
        upgrade()
        token = keys.create(name="test", scope="write").token
        before = tables(app)
        with pytest.raises(DBAPIError):
            upgrade(directory=str(add_migration(tmp_path, change)))
    assert tables(app) == before
    assert app.test_client().post(NODES, json=NODE, headers=bearer(token)).status_code == 201
    assert app.test_client().get("/health/ready").status_code == 200
