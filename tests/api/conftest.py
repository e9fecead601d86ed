"""Apps over migrated databases: SQLite files, or PostgreSQL with --database postgresql."""

import logging
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor

from api.app import create_app
from api.config import Settings
from api.platform.config import PlatformSettings
from api.platform.state import app_state
from tests.api.noun_fixtures import alarmed, node, replay  # noqa: F401 - for all tests here
from tests.api.platform.helpers import UNLIMITED, KeyedClient, store_keys
from tests.postgres_server import UNSAFE, PostgresServer

MakeApp = Callable[..., Flask]


@dataclass(frozen=True)
class AppKind:
    """An app that tests run: its factory and its settings."""

    name: str
    create: Callable[[Any], Flask]
    settings: type[PlatformSettings]


NOUNS = AppKind("evara", create_app, Settings)
NewDatabase = Callable[..., str]


@contextmanager
def own_logging() -> Iterator[None]:
    """Restore the handlers of the root logger at the end: creating an app replaces them."""
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
    """Yield the server of all tests with --database postgresql; None with SQLite's files."""
    if request.config.getoption("--database") == "sqlite":
        yield None
        return
    with PostgresServer(*UNSAFE) as server:
        yield server


@pytest.fixture
def app_kind() -> AppKind:
    """Return the app that make_app creates; tests of the platform run another one."""
    return NOUNS


@pytest.fixture(scope="session")
def templates(
    postgres: PostgresServer | None, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[AppKind], str]:
    """Return a function that returns the name of a migrated database of an app, with keys alone.

    SQLite's is a file.
    """

    @cache
    def template(kind: AppKind) -> str:
        return new_template(kind, postgres, tmp_path_factory)

    return template


def new_template(
    kind: AppKind, postgres: PostgresServer | None, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Create a database to copy."""
    if postgres:
        name = f"template_{kind.name}"
        postgres.execute(f"CREATE DATABASE {name}")
        url = postgres.url(name)
    else:
        name = str(tmp_path_factory.mktemp("migrated") / f"{kind.name}.db")
        url = f"sqlite:///{name}"
    settings = kind.settings(_env_file=None, env="test", database_url=url, log_level="WARNING")
    with own_logging():
        app = kind.create(settings)
        with app.app_context():
            upgrade()
        with app_state(app).database.write() as session:
            store_keys(session)
    app_state(app).database.engine.dispose()
    return name


@pytest.fixture
def new_database(
    postgres: PostgresServer | None,
    templates: Callable[[AppKind], str],
    app_kind: AppKind,
    tmp_path: Path,
) -> NewDatabase:
    """Return a function that creates a database, empty or migrated, and returns its URL.

    PostgreSQL's stay until the server's folder is removed: to drop one takes a checkpoint.
    """

    def new_file(name: str, migrated: bool = False) -> str:
        path = tmp_path / f"{name}.db"
        if migrated:
            shutil.copy(templates(app_kind), path)
        return f"sqlite:///{path}"

    def new_on_server(name: str, migrated: bool = False) -> str:
        assert postgres
        unique = f"{name}_{uuid.uuid4().hex}"
        source = templates(app_kind) if migrated else "template0"
        postgres.execute(f"CREATE DATABASE {unique} TEMPLATE {source}")
        return postgres.url(unique)

    return new_on_server if postgres else new_file


@pytest.fixture
def database_url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """Return the URL of make_app's database: migrated when the test requests `migrated`."""
    return new_database("evara", migrated="migrated" in request.fixturenames)


@pytest.fixture
def migrated(database_url: str) -> str:
    """Return the URL of make_app's database, which is at the newest migration."""
    return database_url


@pytest.fixture
def database_file(migrated: str) -> Path:
    """Return SQLite's file of the migrated database."""
    return Path(migrated.removeprefix("sqlite:///"))


@pytest.fixture
def lost_url(postgres: PostgresServer | None) -> str:
    """Return the URL of a database that does not exist."""
    if postgres:
        return "postgresql+psycopg://evara@/evara?host=/no/such/folder"
    return "sqlite:////no/such/folder/evara.db"


@pytest.fixture
def make_app(database_url: str, app_kind: AppKind) -> Iterator[MakeApp]:
    """Yield a function that creates an app over database_url with the given settings."""
    created: list[Flask] = []

    def make(**changes: object) -> Flask:
        values = {"env": "test", "database_url": database_url} | changes
        app = app_kind.create(app_kind.settings(_env_file=None, **values))
        app.test_client_class = KeyedClient
        created.append(app)
        return app

    yield make
    for app in created:
        app_state(app).database.engine.dispose()
    for instrumentor in (RedisInstrumentor(), HTTPXClientInstrumentor()):
        if instrumentor.is_instrumented_by_opentelemetry:  # it patches classes of the process
            instrumentor.uninstrument()


@pytest.fixture
def app(make_app: MakeApp, migrated: str) -> Flask:
    assert migrated
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a client that is not rate-limited."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {UNLIMITED}"
    return client
