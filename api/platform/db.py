"""The database: one engine, a read and a write unit of work, and the measurement of every statement."""

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask, current_app
from flask_migrate import Migrate
from sqlalchemy import Connection, Engine, Select, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from api.platform import audit
from api.platform.telemetry import metrics, tracing
from observability.spec import names

BUSY_SECONDS = 5  # how long a SQLite writer waits for another, and whoever finds all connections taken, before they give up
PATIENCE = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "tcp_user_timeout": 10_000,
}  # seconds; the last in ms
IMMEDIATE = "evara_immediate"
DETAIL = re.compile(
    r"\nDETAIL:.*"
)  # PostgreSQL's, which holds values; and what is raised is logged
NO_QUERY = ("BEGIN", "COMMIT")  # statements that take time, but ask nothing
POOL_EVENTS = {
    "connect": ("open", 1),
    "close": ("open", -1),
    "checkout": ("in_use", 1),
    "checkin": ("in_use", -1),
}
INSERT: dict[str, Any] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}  # both know ON CONFLICT
MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


class Database:
    """Sessions over one engine. Reads see a snapshot; writes take the lock first, so that they wait instead of failing."""

    def __init__(self, url: str, statement_timeout: float = 0.0):
        sqlite = url.startswith("sqlite")
        # hide_parameters: an exception's text is logged, and values may be keys
        self.engine = create_engine(
            url, hide_parameters=True, **arguments(sqlite, statement_timeout)
        )
        if sqlite:
            event.listen(self.engine, "connect", _tune)
            event.listen(self.engine, "begin", _begin)
        event.listen(self.engine, "before_cursor_execute", _start)
        event.listen(self.engine, "after_cursor_execute", _stop)
        event.listen(self.engine, "handle_error", _failed)
        for name, (state, change) in POOL_EVENTS.items():
            event.listen(self.engine, name, _count(state, change))
        self._writer: Engine = self.engine.execution_options(**{IMMEDIATE: True})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session over one consistent snapshot; nothing is committed."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits, audit entries included, at the end of the block, or rolls back when the block raises."""
        with audit.RecordingSession(self._writer, expire_on_commit=False) as session:
            yield session
            session.flush()
            started = time.perf_counter()
            session.commit()  # where a disk is slow; one that fails is measured by _failed
            _observe(self.engine.name, "COMMIT", time.perf_counter() - started)


def arguments(sqlite: bool, statement_timeout: float) -> dict[str, Any]:
    """What create_engine needs; the time-out (seconds, 0 = none) is PostgreSQL's alone, SQLite cannot stop a statement."""
    if sqlite:
        return {"connect_args": {"timeout": BUSY_SECONDS}}
    options = (
        {"options": f"-c statement_timeout={round(statement_timeout * 1000)}"}
        if statement_timeout
        else {}
    )
    return {
        "pool_pre_ping": True,
        "pool_timeout": BUSY_SECONDS,
        "max_overflow": 5,
        "connect_args": PATIENCE | options,
    }  # 5 + 5 a process


def _tune(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):  # FULL: what was acknowledged is on disk
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(
        "BEGIN IMMEDIATE" if connection.get_execution_options().get(IMMEDIATE) else "BEGIN"
    )


def _count(state: str, change: int) -> Callable[..., None]:
    move = metrics.POOL.labels(state).inc
    return lambda *_: move(change)


def _start(*args: Any) -> None:
    args[
        4
    ]._evara_started = (
        time.perf_counter()
    )  # args: connection, cursor, statement, parameters, context, executemany


def _stop(*args: Any) -> None:
    _observe(args[0].dialect.name, args[2], time.perf_counter() - args[4]._evara_started)


def _failed(context: ExceptionContext) -> None:
    for error in filter(None, (context.sqlalchemy_exception, context.original_exception)):
        error.args = tuple(DETAIL.sub("", str(text)) for text in error.args)
    if isinstance(context.sqlalchemy_exception, IntegrityError | DataError):
        return  # the caller's fault: the database did its work
    started = getattr(context.execution_context, "_evara_started", None)
    seconds = time.perf_counter() - started if started else 0.0
    _observe(
        context.dialect.name,
        context.statement or "",
        seconds,
        type(context.original_exception).__name__,
    )


def _observe(system: str, statement: str, seconds: float, error: str | None = None) -> None:
    metrics.observe_dependency(
        names.DATABASE, seconds, ok=error is None, queries=int(not statement.startswith(NO_QUERY))
    )
    tracing.statement(system, statement, seconds, error)


def init_app(app: Flask, url: str, statement_timeout: float = 0.0) -> None:
    app.extensions["evara_database"] = Database(url, statement_timeout)
    Migrate(app, app.extensions["evara_database"], directory=str(MIGRATIONS))


def database() -> Database:
    """The database of the current app."""
    found: Database = current_app.extensions["evara_database"]
    return found


def paged(session: Session, query: Select[Any], page: int, page_size: int) -> dict[str, Any]:
    """{"items", "page", "page_size", "total"}: one page, counted from 1, of what the query finds, in its order."""
    total = session.scalar(select(func.count()).select_from(query.order_by(None).subquery()))
    items = session.scalars(query.limit(page_size).offset((page - 1) * page_size)).all()
    return {"items": items, "page": page, "page_size": page_size, "total": total}


def insert_into(session: Session, table: Any) -> Any:
    """The dialect's INSERT, which knows ON CONFLICT."""
    return INSERT[session.get_bind().dialect.name](table)
