"""Health: alive (the process answers), ready (all that is critical works), and every dependency by itself; nobody outside is called."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask, g
from flask_smorest import Blueprint
from marshmallow import fields, validate
from sqlalchemy import text

from api.platform.db import MIGRATIONS, database
from api.platform.http.parsing import AnswerSchema, Instant
from api.platform.outbound import guarded_calls
from api.platform.state import app_state

blueprint = Blueprint(
    "health", __name__, description="Whether this process lives, is ready, and what it needs"
)
Body = dict[str, Any]
Answer = tuple[Body, int, dict[str, str]]
FRESH = 1.0  # seconds that a result is given to everybody who asks, so that a flood of questions costs one
LONGEST = 2.0  # seconds until a check that hangs counts as failed
OK, DEGRADED, UNAVAILABLE = "ok", "degraded", "unavailable"


class CheckSchema(AnswerSchema):
    ok = fields.Boolean(required=True)
    latency_ms = fields.Float(
        metadata={"description": "How long the check took; only admins are told, as all below"}
    )
    since = Instant(metadata={"description": "Since when this process has found it so"})
    state = fields.String(metadata={"description": "Of the circuit breaker, where it has one"})
    detail = fields.String(metadata={"description": "What was found"})


class HealthSchema(AnswerSchema):
    status = fields.String(required=True, validate=validate.OneOf((OK, DEGRADED, UNAVAILABLE)))
    checks = fields.Dict(fields.String(), fields.Nested(CheckSchema), required=True)


EXAMPLE = {"status": OK, "checks": {"database": {"ok": True}}}
FAILED = {"status": UNAVAILABLE, "checks": {"database": {"ok": False}}}


class Check:
    """One dependency: `ask` gives {"ok", "detail", …} or raises; it is asked by one thread at a time, whoever waits for it."""

    def __init__(self, app: Flask, ask: Callable[[], Body], critical: bool):
        self.critical = critical
        self._app, self._ask, self._lock = app, ask, threading.Lock()
        self._asked, self._found = 0.0, Future[Body]()
        self._found.set_result({})
        self._ok: bool | None = None
        self._since = datetime.now(UTC)

    def result(self) -> Body:
        """What the last question found, or, if it is old, a new one; within LONGEST seconds."""
        with self._lock:
            if self._found.done() and time.monotonic() - self._asked >= FRESH:
                self._asked, self._found = time.monotonic(), Future()
                threading.Thread(target=self._run, args=(self._found,), daemon=True).start()
            found, asked = self._found, self._asked
        try:
            result = found.result(max(0.0, asked + LONGEST - time.monotonic()))
        except TimeoutError:
            result = {"ok": False, "detail": f"has not answered within {LONGEST:g} s"}
        with self._lock:
            if result["ok"] != self._ok:
                self._ok, self._since = result["ok"], datetime.now(UTC)
            return {"since": self._since} | result

    def _run(self, found: "Future[Body]") -> None:
        started = time.perf_counter()
        try:
            with self._app.app_context():
                result = self._ask()
        except Exception as error:  # whatever is wrong with it, it is not well
            result = {"ok": False, "detail": f"does not answer ({type(error).__name__})"}
        found.set_result(result | {"latency_ms": round((time.perf_counter() - started) * 1000, 2)})


def register(app: Flask, name: str, ask: Callable[[], Body], *, critical: bool) -> None:
    """Adds a check: {"ok", "detail", "state"?, "since"?}. Without a critical one that is ok, requests cannot be served."""
    app_state(app).health_checks[name] = Check(app, ask, critical)


def register_guarded(app: Flask, dependency: str) -> None:
    """Add a check of the dependency's circuit breaker; requests are served without it."""
    register(app, dependency, partial(guarded_calls.check, dependency), critical=False)


@lru_cache
def newest_migration() -> str | None:
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def check_database() -> Body:
    """One small query, and the migration that the database is at."""
    with database().read() as session:
        session.execute(text("SELECT 1"))
        found = MigrationContext.configure(session.connection()).get_current_revision()
    if found != newest_migration():
        mend = "run: flask --app api.app db upgrade"
        return {
            "ok": False,
            "detail": f"is at migration {found}, not at {newest_migration()}; {mend}",
        }
    return {"ok": True, "detail": f"answers, at migration {found}"}


def check_limiter() -> Body:
    """Ask the limiter's store."""
    storage = app_state().limiter.storage
    return {"ok": storage is not None and storage.check()}


def report(checks: dict[str, Check]) -> tuple[Body, bool]:
    """Every result with all that is known, and whether requests can be served."""
    results = {name: check.result() for name, check in checks.items()}
    ready = all(results[name]["ok"] for name, check in checks.items() if check.critical)
    status = (
        UNAVAILABLE
        if not ready
        else OK
        if all(result["ok"] for result in results.values())
        else DEGRADED
    )
    return {"status": status, "checks": results}, ready


def answer(checks: dict[str, Check]) -> Answer:
    """What callers are told: everybody the names and whether they are well, admins the rest."""
    body, ready = report(checks)
    if g.get("key_scope") != "admin":
        body["checks"] = {name: {"ok": result["ok"]} for name, result in body["checks"].items()}
    return (
        body,
        200 if ready else 503,
        {"Cache-Control": "no-store"} | ({} if ready else {"Retry-After": "5"}),
    )


@blueprint.route("/health/live", endpoint="live")
@blueprint.response(200, HealthSchema, example={"status": OK, "checks": {}})
def live() -> Answer:
    """This process answers; nothing else is asked"""
    return answer({})


@blueprint.route("/health/ready", endpoint="ready")
@blueprint.alt_response(
    503,
    schema=HealthSchema,
    example=FAILED,
    description="Something that every request needs does not work",
)
@blueprint.response(200, HealthSchema, example=EXAMPLE)
def ready() -> Answer:
    """Requests can be served: all that is critical works"""
    checks = app_state().health_checks
    return answer({name: check for name, check in checks.items() if check.critical})


@blueprint.route("/health", endpoint="detail")
@blueprint.alt_response(
    503,
    schema=HealthSchema,
    example=FAILED,
    description="Something that every request needs does not work",
)
@blueprint.response(200, HealthSchema, example=EXAMPLE)
def detail() -> Answer:
    """Every dependency by itself"""
    return answer(app_state().health_checks)


def init_app(app: Flask, limiter_url: str) -> None:
    """Register the checks of the database and of the limiter's store."""
    register(app, "database", check_database, critical=True)
    if limiter_url != "memory://":
        # Without its store, limits are counted per worker; requests go on.
        register(app, "limiter", check_limiter, critical=False)
