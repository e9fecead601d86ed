"""The database: its engine, sessions to read and to write, and the measurement of statements."""

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from flask import Flask
from flask_migrate import Migrate
from sqlalchemy import (
    Connection,
    Engine,
    Select,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from api.platform import audit, commits
from api.platform.config import PlatformSettings
from api.platform.state import app_state
from api.platform.telemetry import metrics, tracing
from api.platform.types import JsonObject
from observability.spec import names

# Seconds that a SQLite writer waits for the lock, and that a request waits for a free connection.
BUSY_SECONDS = 5
# Time-outs of a PostgreSQL connection: seconds, but for the last, milliseconds.
CONNECTION_TIMEOUTS = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "tcp_user_timeout": 10_000,
}
EXTRA_CONNECTIONS = 5  # of a process, beside the 5 that its pool keeps open
IMMEDIATE = "evara_immediate"  # execution option: the transaction takes the write lock at once
DETAIL = re.compile(r"\nDETAIL:.*")  # PostgreSQL's errors have values there, and are logged
UNCOUNTED = (
    "BEGIN",
    "COMMIT",
    "SAVEPOINT",
    "RELEASE",
)  # statements that take time, but query nothing
# Event of the connection pool → state of the gauge, and its change.
POOL_EVENTS = {
    "connect": ("open", 1),
    "close": ("open", -1),
    "checkout": ("in_use", 1),
    "checkin": ("in_use", -1),
}
# Both dialects' INSERTs have ON CONFLICT.
INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
# Errors of a database that is locked, full, unreachable, slow or out of connections.
UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeout)
UNLOCKED = "evara_unlocked"  # mark of a connection that takes no locks
REFUSED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # an acknowledged write is on disk
    "PRAGMA foreign_keys=ON",
)


class Database:
    """Sessions over one engine.

    Reads see a snapshot. Writes take the lock at once, so that they wait instead of failing.
    """

    def __init__(self, url: str, statement_timeout: float = 0.0):
        is_sqlite = url.startswith("sqlite")
        options = engine_options(is_sqlite, statement_timeout)
        # hide_parameters: an exception's text is logged, and values may be keys
        self.engine = create_engine(url, hide_parameters=True, **options)
        if is_sqlite:
            event.listen(self.engine, "do_connect", _connect_sqlite)
            event.listen(self.engine, "checkin", _drop_unlocked)
            event.listen(self.engine, "begin", _begin_sqlite)
        event.listen(self.engine, "before_cursor_execute", _start_timer)
        event.listen(self.engine, "after_cursor_execute", _observe_success)
        event.listen(self.engine, "handle_error", _observe_failure)
        for name, (state, change) in POOL_EVENTS.items():
            event.listen(self.engine, name, _pool_counter(state, change))
        self._writer: Engine = self.engine.execution_options(**{IMMEDIATE: True})
        self._shared: ContextVar[Session | None] = ContextVar("shared", default=None)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session over one consistent snapshot; nothing is committed."""
        shared = self._shared.get()
        if shared:
            yield shared
            return
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session that commits at the end of the block, with its audit entries.

        It rolls back when the block raises.
        """
        shared = self._shared.get()
        if shared:
            with shared.begin_nested():
                yield shared
            return
        with audit.RecordingSession(self._writer, expire_on_commit=False) as session:
            yield session
            session.flush()
            # A slow disk shows in commits; _observe_failure measures one that fails.
            started = time.perf_counter()
            commits.commit(session)
            _observe(self.engine.name, "COMMIT", time.perf_counter() - started)

    @contextmanager
    def one_transaction(self) -> Iterator[Session]:
        """Open a session that commits at the end of the block.

        In the block, `read` and `write` use the same transaction; a `write` that raises rolls back
        what it changed.
        """
        with self.write() as session:
            token = self._shared.set(session)
            try:
                yield session
            finally:
                self._shared.reset(token)


def engine_options(is_sqlite: bool, statement_timeout: float) -> dict[str, Any]:
    """Return options for create_engine.

    `statement_timeout` is in seconds, 0 for none; it has no effect on SQLite.
    """
    if is_sqlite:
        return {"connect_args": {"timeout": BUSY_SECONDS}}
    connect_args: dict[str, Any] = dict(CONNECTION_TIMEOUTS)
    if statement_timeout:
        connect_args["options"] = f"-c statement_timeout={round(statement_timeout * 1000)}"
    return {
        "pool_pre_ping": True,
        "pool_timeout": BUSY_SECONDS,
        "max_overflow": EXTRA_CONNECTIONS,
        "connect_args": connect_args,
    }


def _connect_sqlite(
    _: Dialect, record: ConnectionPoolEntry, arguments: Sequence[str], options: Any
) -> sqlite3.Connection:
    """Return a new connection; on a full disk perhaps one that can only read, and once."""
    [path] = arguments
    connection: sqlite3.Connection = sqlite3.connect(path, **options)
    try:
        for pragma in PRAGMAS:
            connection.execute(pragma)
    except sqlite3.OperationalError as error:
        connection.close()
        if not _is_complete(Path(path), error):
            raise
        unlocked = f"{Path(path).absolute().as_uri()}?immutable=1"
        connection = sqlite3.connect(unlocked, **options | {"uri": True})
        record.info[UNLOCKED] = True
    connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
    return connection


def _is_complete(path: Path, error: sqlite3.OperationalError) -> bool:
    """Tell whether the error leaves a database that nobody writes, all of it in its own file.

    The first connection to a database creates its -wal and -shm, which need space.
    """
    wal = path.with_name(f"{path.name}-wal")
    is_refused = error.sqlite_errorcode & commits.PRIMARY_CODE in REFUSED
    return is_refused and path.exists() and not (wal.exists() and wal.stat().st_size)


def _drop_unlocked(_: Any, record: ConnectionPoolEntry) -> None:
    """Use a connection without locks only once: somebody may write as soon as there is space."""
    if record.info.get(UNLOCKED):
        record.invalidate()


def _begin_sqlite(connection: Connection) -> None:
    statement = "BEGIN"
    if connection.get_execution_options().get(IMMEDIATE):
        statement = "BEGIN IMMEDIATE"
    connection.exec_driver_sql(statement)


def _pool_counter(state: str, change: int) -> Callable[..., None]:
    gauge = metrics.POOL.labels(state)
    return lambda *_: gauge.inc(change)


def _start_timer(
    _connection: Any, _cursor: Any, _sql: str, _values: Any, context: Any, *_: Any
) -> None:
    context._evara_started = time.perf_counter()


def _observe_success(
    connection: Connection, _cursor: Any, sql: str, _values: Any, context: Any, *_: Any
) -> None:
    _observe(connection.dialect.name, sql, time.perf_counter() - context._evara_started)


def _observe_failure(context: ExceptionContext) -> None:
    for error in (context.sqlalchemy_exception, context.original_exception):
        if error is not None:
            error.args = tuple(DETAIL.sub("", str(text)) for text in error.args)
    if isinstance(context.sqlalchemy_exception, IntegrityError | DataError):
        return  # the caller's fault: the database did its work
    seconds = 0.0
    if started := getattr(context.execution_context, "_evara_started", None):
        seconds = time.perf_counter() - started
    error_type = type(context.original_exception).__name__
    _observe(context.dialect.name, context.statement or "", seconds, error_type)


def _observe(system: str, statement: str, seconds: float, error: str | None = None) -> None:
    queries = int(not statement.startswith(UNCOUNTED))
    metrics.observe_dependency(names.DATABASE, seconds, ok=error is None, queries=queries)
    tracing.record_statement(system, statement, seconds, error)


def init_app(app: Flask, settings: PlatformSettings, migrations: Path) -> None:
    """Give the app a database, and `flask db` the folder of its migrations."""
    database = Database(settings.database_url, settings.database_statement_timeout)
    app_state(app).database = database
    Migrate(app, database, directory=str(migrations))


def database() -> Database:
    """Return the database of the current app."""
    return app_state().database


def paged(session: Session, query: Select[Any], page: int, page_size: int) -> JsonObject:
    """Return {"items", "page", "page_size", "total"} for a page of a query's rows.

    Pages are counted from 1.
    """
    rows = query.order_by(None).subquery()
    total = session.scalar(select(func.count()).select_from(rows))
    first = (page - 1) * page_size
    items = session.scalars(query.limit(page_size).offset(first)).all()
    return {"items": items, "page": page, "page_size": page_size, "total": total}


def insert_into(session: Session, table: Any) -> Any:
    """Return the INSERT of the session's dialect, which has ON CONFLICT."""
    dialect = session.get_bind().dialect.name
    return INSERT[dialect](table)
