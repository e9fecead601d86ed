"""Apps over real, migrated SQLite files."""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade

from api.app import create_app
from api.config import Settings
from tests.api.helpers import NODE, NODES, UNLIMITED, KeyedClient, store_keys

MakeApp = Callable[..., Flask]


@contextmanager
def own_logging() -> Iterator[None]:
    """Making an app replaces the handlers of the root logger; afterwards the old ones are back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    with own_logging():
        yield


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the newest migration, to be copied; empty but for keys."""
    path = tmp_path_factory.mktemp("migrated") / "evara.db"
    with own_logging():
        app = create_app(Settings(_env_file=None, env="test", database_url=f"sqlite:///{path}", log_level="WARNING"))
        with app.app_context():
            upgrade()
        with app.extensions["evara_database"].write() as session:
            store_keys(session)
    app.extensions["evara_database"].engine.dispose()
    return path


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[MakeApp]:
    """Makes apps with settings of the test's choice; the database is tmp_path/evara.db and not migrated."""
    made: list[Flask] = []

    def make(**changes: object) -> Flask:
        values = {"env": "test", "database_url": f"sqlite:///{tmp_path}/evara.db"} | changes
        made.append(create_app(Settings(_env_file=None, **values)))
        made[-1].test_client_class = KeyedClient
        return made[-1]

    yield make
    for app in made:
        app.extensions["evara_database"].engine.dispose()


@pytest.fixture
def database_file(tmp_path: Path, migrated: Path) -> Path:
    """The migrated database that make_app's apps will find."""
    return Path(shutil.copy(migrated, tmp_path / "evara.db"))


@pytest.fixture
def app(make_app: MakeApp, database_file: Path) -> Flask:
    assert database_file.exists()
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that is not limited."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {UNLIMITED}"
    return client


@pytest.fixture
def node(client: FlaskClient) -> str:
    """The id of a node that is there."""
    assert client.post(NODES, json=NODE).status_code == 201
    return NODE["id"]
