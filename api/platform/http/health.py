"""The health routes: live (the process responds), ready (it can serve requests) and all checks.

No check calls an upstream service; the check of one shows the state of its circuit breaker.
"""

import os
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryFile

from alembic.script import ScriptDirectory
from flask import Flask, current_app, g
from flask_smorest import Blueprint
from marshmallow import fields, validate
from prometheus_client import values
from sqlalchemy import column, inspect, make_url, select, table, text

from api.platform.config import PlatformSettings
from api.platform.db import database
from api.platform.http.health_checks import Check
from api.platform.http.parsing import AnswerSchema, Instant
from api.platform.http.response_headers import RETRY_AFTER
from api.platform.outbound import guarded_calls
from api.platform.state import app_state
from api.platform.telemetry.reserved_files import ReservedFile
from api.platform.types import Headers, JsonObject

blueprint = Blueprint(
    "health", __name__, description="Liveness, readiness and dependencies of this process"
)
# Made once: a new table for each check would fill SQLAlchemy's cache of compiled statements.
VERSIONS = table("alembic_version", column("version_num"))
Answer = tuple[JsonObject, int, Headers]
NEEDED_BYTES = 1 << 20  # of disk space, below which writes are about to fail
OK = "ok"
DEGRADED = "degraded"
UNAVAILABLE = "unavailable"


class CheckSchema(AnswerSchema):
    ok = fields.Boolean(required=True)
    latency_ms = fields.Float(
        metadata={
            "description": "Duration of the check; this and what follows is for admin keys only"
        }
    )
    since = Instant(metadata={"description": "Time since which the result is the same"})
    state = fields.String(metadata={"description": "State of the circuit breaker, if there is one"})
    detail = fields.String(metadata={"description": "Explanation of the result"})


class HealthSchema(AnswerSchema):
    status = fields.String(required=True, validate=validate.OneOf((OK, DEGRADED, UNAVAILABLE)))
    checks = fields.Dict(fields.String(), fields.Nested(CheckSchema), required=True)


EXAMPLE = {"status": OK, "checks": {"database": {"ok": True}}}
FAILED = {"status": UNAVAILABLE, "checks": {"database": {"ok": False}}}


def register(
    app: Flask, name: str, run: Callable[[], JsonObject], *, critical: bool, local: bool = False
) -> None:
    """Add a check; while a critical one fails, the app is not ready.

    Readiness also shows those that are `local`: about this process, not about a dependency.
    """
    app_state(app).health_checks[name] = Check(app, run, critical, local)


def register_guarded(app: Flask, dependency: str) -> None:
    """Add a check of the dependency's circuit breaker; requests are served without it."""
    register(app, dependency, partial(guarded_calls.check, dependency), critical=False)


@lru_cache
def newest_migration(folder: str) -> str | None:
    """Return the newest revision in a folder of migrations."""
    return ScriptDirectory(folder).get_current_head()


def check_database() -> JsonObject:
    """Run a small query and compare the revision of the database with the code's."""
    with database().read() as session:
        session.execute(text("SELECT 1"))
        revision = None
        if inspect(session.connection()).has_table(VERSIONS.name):
            revision = session.scalar(select(VERSIONS.c.version_num))
    newest = newest_migration(current_app.extensions["migrate"].directory)
    if revision == newest:
        return {"ok": True, "detail": f"responds, at migration {revision}"}
    detail = f"is at migration {revision}, not at {newest}; run: flask --app api.app db upgrade"
    return {"ok": False, "detail": detail}


def check_disk(folder: str) -> JsonObject:
    """Reserve space in the folder of the database, as the next write has to."""
    try:
        with TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, NEEDED_BYTES)
    except OSError as error:
        detail = f"{error.strerror} in the folder of the database; free some space"
        return {"ok": False, "detail": detail}
    return {"ok": True}


def check_metrics() -> JsonObject:
    """Return whether the metrics of this process are in their files, where scrapes find them."""
    waiting = len(ReservedFile.in_memory)
    if waiting:
        detail = f"{waiting} files of metrics wait in memory: {ReservedFile.error}"
        return {"ok": False, "detail": detail}
    return {"ok": True}


def check_limiter() -> JsonObject:
    """Query the limiter's store."""
    return {"ok": app_state().limiter.storage.check()}


def report(checks: dict[str, Check]) -> tuple[JsonObject, bool]:
    """Return all results with details, and whether requests can be served."""
    results = {name: check.result() for name, check in checks.items()}
    failed = [checks[name] for name, result in results.items() if not result["ok"]]
    status = OK
    if any(check.critical for check in failed):
        status = UNAVAILABLE
    elif failed:
        status = DEGRADED
    return {"status": status, "checks": results}, status != UNAVAILABLE


def answer(checks: dict[str, Check]) -> Answer:
    """Return the response: `ok` of each check for everybody, its details for admin keys."""
    body, is_ready = report(checks)
    if g.get("key_scope") != "admin":
        body["checks"] = {name: {"ok": result["ok"]} for name, result in body["checks"].items()}
    if is_ready:
        return body, 200, {}
    return body, 503, {RETRY_AFTER: "5"}


not_ready = blueprint.alt_response(
    503,
    schema=HealthSchema,
    example=FAILED,
    description="A dependency that every request needs is unavailable",
)


@blueprint.route("/health/live", endpoint="live")
@blueprint.response(200, HealthSchema, example={"status": OK, "checks": {}})
def live() -> Answer:
    """Liveness: this process responds"""
    return answer({})


@blueprint.route("/health/ready", endpoint="ready")
@not_ready
@blueprint.response(200, HealthSchema, example=EXAMPLE)
def ready() -> Answer:
    """Readiness: all critical dependencies work"""
    checks = app_state().health_checks
    return answer({name: check for name, check in checks.items() if check.critical or check.local})


@blueprint.route("/health", endpoint="detail")
@not_ready
@blueprint.response(200, HealthSchema, example=EXAMPLE)
def detail() -> Answer:
    """State of every dependency"""
    return answer(app_state().health_checks)


def init_app(app: Flask, settings: PlatformSettings) -> None:
    """Register the checks of the database, of the limiter's store and of the disk."""
    register(app, "database", check_database, critical=True)
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        folder = str(Path(url.database).resolve().parent)
        register(app, "disk", partial(check_disk, folder), critical=True)
    if values.ValueClass is not values.MutexValue:
        register(app, "metrics", check_metrics, critical=False, local=True)
    if settings.limiter_url != "memory://":
        # Not critical: without the store each worker counts in memory.
        register(app, "limiter", check_limiter, critical=False)
