"""Health: alive (the process answers), ready (the database answers at the newest migration), and what is wrong."""

import time
from functools import lru_cache
from typing import Any

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.db import MIGRATIONS, database

blueprint = Blueprint("health", __name__)
Answer = tuple[dict[str, Any], int, dict[str, str]]


@lru_cache
def newest_migration() -> str | None:
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def check_database() -> dict[str, Any]:
    """{"ok", "latency_ms", "detail"} of one small query and the migration that the database is at."""
    started = time.perf_counter()
    try:
        with database().read() as session:
            session.execute(text("SELECT 1"))
            found = MigrationContext.configure(session.connection()).get_current_revision()
    except SQLAlchemyError as error:
        return {"ok": False, "detail": f"does not answer ({type(error).__name__})"}
    if found != newest_migration():
        return {"ok": False, "detail": "is not at the newest migration; run: flask --app api.app db upgrade"}
    return {"ok": True, "detail": "answers", "latency_ms": round((time.perf_counter() - started) * 1000, 2)}


def answer(checks: dict[str, Any]) -> Answer:
    ok = all(check["ok"] for check in checks.values())
    body = {"status": "ok" if ok else "unavailable", "checks": checks}
    return body, 200 if ok else 503, {"Cache-Control": "no-store"} | ({} if ok else {"Retry-After": "5"})


@blueprint.get("/health/live", endpoint="live")
def live() -> Answer:
    """This process answers; nothing else is asked."""
    return answer({})


@blueprint.get("/health/ready", endpoint="ready")
def ready() -> Answer:
    """Requests can be served: the database answers and is migrated."""
    return answer({"database": check_database()})


@blueprint.get("/health", endpoint="detail")
def detail() -> Answer:
    """Every dependency by itself."""
    return answer({"database": check_database()})
