"""Apps over real, migrated databases: SQLite's files, or a PostgreSQL's (--database postgresql)."""

import logging
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade

from api.app import create_app
from api.config import Settings
from api.platform.state import app_state
from tests.api.helpers import NODE, NODES, UNLIMITED, KeyedClient, store_keys
from tests.postgres_server import UNSAFE, PostgresServer

MakeApp = Callable[..., Flask]
NewDatabase = Callable[..., str]


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
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer | None]:
    """The server of all tests with --database postgresql; None where each has SQLite's files."""
    if request.config.getoption("--database") == "sqlite":
        yield None
        return
    with PostgresServer(*UNSAFE) as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: PostgresServer | None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database at the newest migration, to be copied; empty but for keys. SQLite's is a file."""
    name = "template_evara" if postgres else str(tmp_path_factory.mktemp("migrated") / "evara.db")
    if postgres:
        postgres.execute(f"CREATE DATABASE {name}")
    with own_logging():
        url = postgres.url(name) if postgres else f"sqlite:///{name}"
        app = create_app(
            Settings(_env_file=None, env="test", database_url=url, log_level="WARNING")
        )
        with app.app_context():
            upgrade()
        with app_state(app).database.write() as session:
            store_keys(session)
    app_state(app).database.engine.dispose()
    return name


@pytest.fixture
def new_database(
    postgres: PostgresServer | None, template: str, tmp_path: Path
) -> Iterator[NewDatabase]:
    """Makes databases of the test's own, and says their URLs: empty, or migrated."""
    made: list[str] = []

    def new(name: str, migrated: bool = False) -> str:
        if not postgres:
            path = tmp_path / f"{name}.db"
            return f"sqlite:///{shutil.copy(template, path) if migrated else path}"
        made.append(f"{name}_{uuid.uuid4().hex}")
        postgres.execute(
            f"CREATE DATABASE {made[-1]} TEMPLATE {template if migrated else 'template0'}"
        )
        return postgres.url(made[-1])

    yield new
    for name in made:
        assert postgres
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """Of the database that make_app's apps have; migrated where the test, or a fixture of it, asks for `migrated`."""
    return new_database("evara", migrated="migrated" in request.fixturenames)


@pytest.fixture
def migrated(database_url: str) -> str:
    """The URL of make_app's database, which is at the newest migration."""
    return database_url


@pytest.fixture
def database_file(migrated: str) -> Path:
    """SQLite's file of the migrated database."""
    return Path(migrated.removeprefix("sqlite:///"))


@pytest.fixture
def lost_url(postgres: PostgresServer | None) -> str:
    """Of a database that is not there."""
    return (
        "postgresql+psycopg://evara@/evara?host=/no/such/folder"
        if postgres
        else "sqlite:////no/such/folder/evara.db"
    )


@pytest.fixture
def make_app(database_url: str) -> Iterator[MakeApp]:
    """Makes apps with settings of the test's choice, over database_url."""
    made: list[Flask] = []

    def make(**changes: object) -> Flask:
        values = {"env": "test", "database_url": database_url} | changes
        made.append(create_app(Settings(_env_file=None, **values)))
        made[-1].test_client_class = KeyedClient
        return made[-1]

    yield make
    for app in made:
        app_state(app).database.engine.dispose()


@pytest.fixture
def app(make_app: MakeApp, migrated: str) -> Flask:
    assert migrated
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
