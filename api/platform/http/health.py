"""The health routes: live (the process responds), ready (it can serve requests) and all checks.

No check calls an upstream service; the check of one shows the state of its circuit breaker.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

from flask import Flask, g
from flask_smorest import Blueprint
from marshmallow import fields, validate
from prometheus_client import values
from sqlalchemy import make_url, text

from api.platform.config import PlatformSettings
from api.platform.db import UNAVAILABLE as DATABASE_ERRORS
from api.platform.db import database
from api.platform.http.errors import sqlstate
from api.platform.http.health_checks import Check
from api.platform.http.parsing import AnswerSchema, Instant
from api.platform.http.response_headers import RETRY_AFTER
from api.platform.outbound import guarded_calls
from api.platform.revisions import is_of_newer_release, known_revisions, stored_revision
from api.platform.state import app_state
from api.platform.telemetry.reserved_files import ReservedFile
from api.platform.types import Headers, JsonObject

blueprint = Blueprint(
    "health", __name__, description="Liveness, readiness and dependencies of this process"
)
Answer = tuple[JsonObject, int, Headers]
NEEDED_BYTES = 1 << 20  # of disk space, below which writes are about to fail
# PostgreSQL writes what does not fit into `work_mem` to a file, here on the disk of its tables.
USE_FILES = text(
    "SELECT set_config('work_mem', '64kB', true), set_config('temp_tablespaces', '', true)"
)
WRITE_FILE = text(
    "WITH blocks AS MATERIALIZED"
    " (SELECT repeat('x', 8192) AS block FROM generate_series(1, :bytes / 8192))"
    " SELECT max(length(block)) FROM blocks"
)
DISK_FULL = "53100"  # PostgreSQL's code
DISK_UNKNOWN: JsonObject = {"ok": True, "detail": "unknown: the database does not respond"}
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


def check_database() -> JsonObject:
    """Run a small query and compare the revision of the database with the code's."""
    with database().read() as session:
        session.execute(text("SELECT 1"))
        revision = stored_revision(session)
    newest = known_revisions()[0]
    if revision == newest:
        return {"ok": True, "detail": f"responds, at migration {revision}"}
    if is_of_newer_release(revision):
        return {"ok": True, "detail": f"responds, at migration {revision} of a newer release"}
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


def check_disk_of_server() -> JsonObject:
    """Let PostgreSQL write a temporary file; without a connection the disk is not to blame.

    A database that hangs would hang here, too, so its own check decides first.
    """
    if app_state().health_checks["database"].has_failed():
        return DISK_UNKNOWN
    try:
        with database().read() as session:
            session.execute(USE_FILES)
            session.execute(WRITE_FILE, {"bytes": NEEDED_BYTES})
    except DATABASE_ERRORS as error:
        if sqlstate(error) == DISK_FULL:
            detail = "the database server has no space left on its disk; free some space"
            return {"ok": False, "detail": detail}
        return DISK_UNKNOWN
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
    """Readiness: all critical dependencies work, and the process is not about to stop"""
    if app_state().is_stopping:
        body = {"status": UNAVAILABLE, "checks": {"process": {"ok": False}}}
        return body, 503, {RETRY_AFTER: "5"}
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
    elif url.get_backend_name() == "postgresql":
        register(app, "disk", check_disk_of_server, critical=True)
    if values.ValueClass is not values.MutexValue:
        register(app, "metrics", check_metrics, critical=False, local=True)
    if settings.limiter_url != "memory://":
        # Not critical: without the store each worker counts in memory.
        register(app, "limiter", check_limiter, critical=False)
