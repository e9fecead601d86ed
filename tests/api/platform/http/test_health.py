"""Liveness, readiness, and the details that only admins see."""

import errno
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask, g
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.platform.db import database
from api.platform.http import health, health_checks
from api.platform.state import app_state
from api.platform.telemetry.reserved_files import ReservedFile
from api.platform.types import JsonObject
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import ORDERS

OPERATIONAL_ERROR = OperationalError("SELECT", {}, Exception())


def as_admin(app: Flask) -> FlaskClient:
    """Return a client whose key has the scope `admin`."""
    app.before_request_funcs.setdefault(None, []).append(lambda: setattr(g, "key_scope", "admin"))
    return app.test_client()


def as_stranger(app: Flask) -> FlaskClient:
    """Return a client without a key."""
    return FlaskClient(app, app.response_class)


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_checks_pass_with_a_migrated_database(app: Flask, path: str) -> None:
    """Callers without a key see only that the checks pass."""
    answer = as_stranger(app).get(path)
    assert answer.status_code == 200
    body = answer.get_json()
    assert body["status"] == "ok"
    assert body["checks"]["database"] == {"ok": True}
    assert all(check == {"ok": True} for check in body["checks"].values())
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Retry-After" not in answer.headers


def test_admin_sees_details_of_the_checks(app: Flask) -> None:
    """Duration, the time of the last change, and the finding."""
    check = as_admin(app).get("/health").get_json()["checks"]["database"]
    assert check["latency_ms"] >= 0
    assert check["since"].endswith("+00:00")
    assert check["detail"] == "responds, at migration 0001"


def test_stopping_process_is_live_but_not_ready(app: Flask) -> None:
    """A load balancer takes it out; it answers everything else meanwhile."""
    app.announce_stop()  # type: ignore[attr-defined]
    answer = as_stranger(app).get("/health/ready")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.get_json() == {"status": "unavailable", "checks": {"process": {"ok": False}}}
    assert as_stranger(app).get("/health/live").status_code == 200
    assert app.test_client().get(ORDERS).status_code == 200


def test_old_release_is_ready_after_the_migrations_of_a_newer_one(app: Flask) -> None:
    """While a release is replaced, its database is at a migration that it does not know."""
    with app_state(app).database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answer = as_admin(app).get("/health/ready")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "ok")
    detail = answer.get_json()["checks"]["database"]["detail"]
    assert detail == "responds, at migration 9999 of a newer release"


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_empty_database_is_not_ready(make_app: MakeApp, path: str) -> None:
    """503 with Retry-After; admins see the command that fixes it."""
    app = make_app()
    answer = app.test_client().get(path)  # its key cannot be looked up
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    body = answer.get_json()
    assert body["status"] == "unavailable"
    assert body["checks"]["database"] == {"ok": False}
    full_body = as_admin(make_app()).get(path).get_json()
    assert "flask --app api.app db upgrade" in full_body["checks"]["database"]["detail"]


@pytest.mark.sqlite_only("damages its file")
@pytest.mark.parametrize("damage", ["garbage", "folder", "missing folder"])
def test_unreadable_database_is_not_ready(make_app: MakeApp, tmp_path: Path, damage: str) -> None:
    """The app starts whatever is wrong with the file; it is live and answers 503 to ready."""
    path = tmp_path / "broken.db"
    if damage == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    elif damage == "folder":
        path.mkdir()
    else:
        path = tmp_path / "no" / "such" / "folder.db"
    client = as_admin(make_app(database_url=f"sqlite:///{path}"))
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.get_json()["checks"]["database"]["detail"].startswith("failed (")
    assert client.get("/health/live").get_json() == {"status": "ok", "checks": {}}
    assert client.get(ORDERS).status_code >= 500


def test_app_is_ready_again_when_the_database_works(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No restart is needed; `since` is the time of that check."""
    monkeypatch.setattr(health_checks, "MAX_AGE", 0.0)
    app = make_app()
    client = as_admin(app)
    first = client.get("/health").get_json()
    second = client.get("/health").get_json()
    down_since = first["checks"]["database"]["since"]
    assert first["status"] == "unavailable"
    assert second["checks"]["database"]["since"] == down_since
    with app.app_context():
        upgrade()
    recovered = client.get("/health")
    assert (recovered.status_code, recovered.get_json()["status"]) == (200, "ok")
    assert recovered.get_json()["checks"]["database"]["since"] > down_since


def test_failed_check_that_is_not_critical_degrades(app: Flask) -> None:
    """An open breaker is shown; requests are served, and readiness ignores it."""
    state = {
        "ok": False,
        "state": "open",
        "since": datetime(2026, 1, 1, tzinfo=UTC),
        "detail": "opened by 5 failures",
    }
    health.register(app, "warehouse", lambda: state, critical=False)
    assert as_stranger(app).get("/health").get_json()["checks"]["warehouse"] == {"ok": False}
    assert "warehouse" not in app.test_client().get("/health/ready").get_json()["checks"]
    answer = as_admin(app).get("/health")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")
    check = answer.get_json()["checks"]["warehouse"]
    assert check["state"] == "open"
    assert check["since"] == "2026-01-01T00:00:00+00:00"
    assert check["detail"] == "opened by 5 failures"
    command = app.test_cli_runner().invoke(args=["health"])
    assert command.exit_code == 0
    assert json.loads(command.output)["checks"]["warehouse"]["state"] == "open"


def test_concurrent_callers_share_one_check(app: Flask) -> None:
    """Callers at the same time and shortly after get the same result."""
    runs: list[int] = []
    together = threading.Barrier(9)
    release = threading.Event()

    def slow() -> JsonObject:
        runs.append(1)
        release.wait(10)
        return {"ok": True}

    health.register(app, "database", slow, critical=True)
    statuses: list[int] = []

    def ask() -> None:
        together.wait()
        statuses.append(app.test_client().get("/health/ready").status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    together.wait()
    release.set()
    for thread in threads:
        thread.join()
    assert app.test_client().get("/health").status_code == 200
    assert statuses == [200] * 8
    assert len(runs) == 1


def test_hanging_check_fails_after_the_timeout(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not run twice at once, and recovers."""
    monkeypatch.setattr(health_checks, "TIMEOUT", 0.05)
    monkeypatch.setattr(health_checks, "MAX_AGE", 0.0)
    runs: list[int] = []
    hanging = threading.Event()
    returned = threading.Event()

    def hang() -> JsonObject:
        runs.append(1)
        hanging.wait(10)
        returned.set()
        return {"ok": True}

    health.register(app, "database", hang, critical=True)
    client = as_admin(app)
    for _ in range(3):
        answer = client.get("/health/ready")
        check = answer.get_json()["checks"]["database"]
        assert answer.status_code == 503
        assert check["detail"] == "did not respond within 0.05 s"
    assert len(runs) == 1
    monkeypatch.setattr(health_checks, "TIMEOUT", 10.0)
    hanging.set()
    assert returned.wait(10)
    assert client.get("/health/ready").status_code == 200


def test_unreachable_limiter_store_degrades(
    make_app: MakeApp, migrated: str, tmp_path: Path
) -> None:
    """Limits are counted in the memory of each worker."""
    assert migrated
    app = make_app(limiter_url=f"sqlite:///{tmp_path}/limits.db")
    body = as_stranger(app).get("/health").get_json()
    assert body["status"] == "ok"
    assert body["checks"]["limiter"] == {"ok": True}
    app = make_app(limiter_url="sqlite:////no/such/folder/limits.db")
    answer = app.test_client().get("/health")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")


@pytest.mark.sqlite_only("PostgreSQL has a disk of its own")
def test_a_full_disk_is_not_ready(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readiness says what is wrong, and is back as soon as there is space."""
    monkeypatch.setattr(health_checks, "MAX_AGE", 0.0)

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", refuse)
        answer = as_stranger(app).get("/health/ready")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.get_json()["checks"]["disk"] == {"ok": False}
        assert answer.get_json()["checks"]["database"] == {"ok": True}
        assert app.test_client().get("/health/live").status_code == 200
        detail = health.check_disk(".")["detail"]
        assert detail.startswith("No space left on device")
    assert as_stranger(app).get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    "error", [PoolTimeout(), InterfaceError("SELECT", {}, Exception()), OPERATIONAL_ERROR]
)
def test_a_database_without_an_answer_says_nothing_about_its_disk(
    app: Flask, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The check of the database names it; that of its server's disk does not fail as well."""

    def refuse() -> None:
        raise error

    monkeypatch.setattr(app_state(app).database, "read", refuse)
    with app.app_context():
        assert health.check_disk_of_server() == health.DISK_UNKNOWN


def test_a_database_that_fails_is_not_asked_about_its_disk(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hanging database would let the check of the disk time out, too."""
    health.register(app, "database", lambda: {"ok": False}, critical=True)
    assert as_stranger(app).get("/health/ready").status_code == 503
    monkeypatch.setattr(app_state(app).database, "read", pytest.fail)
    with app.app_context():
        assert health.check_disk_of_server() == health.DISK_UNKNOWN


def test_readiness_shows_what_is_wrong_in_this_process(
    app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Metrics that wait in memory degrade it; requests are served."""
    assert health.check_metrics() == {"ok": True}
    monkeypatch.setattr(ReservedFile, "in_memory", {ReservedFile(str(tmp_path / "counter_1.db"))})
    health.register(app, "metrics", health.check_metrics, critical=False, local=True)
    answer = as_stranger(app).get("/health/ready")
    assert answer.status_code == 200
    assert answer.get_json()["status"] == "degraded"
    assert answer.get_json()["checks"]["metrics"] == {"ok": False}


def test_database_checks_compile_their_statements_once(app: Flask) -> None:
    """Health checks run once a second, and must not displace the statements of requests."""
    with app.app_context():
        cache = database().engine._compiled_cache
        assert cache is not None
        assert health.check_database()["ok"]
        compiled = set(cache)
        for _ in range(5):
            assert health.check_database()["ok"]
        assert set(cache) == compiled
