"""Health: alive whatever happens, ready only with what is critical, and little told to strangers."""

import json
import threading
from pathlib import Path

import pytest
from flask import Flask, g
from flask.testing import FlaskClient
from flask_migrate import upgrade

from api.platform.http import health
from tests.api.conftest import MakeApp
from tests.api.helpers import NODES


def as_admin(app: Flask) -> FlaskClient:
    """A client whose key has the scope `admin`."""
    app.before_request_funcs.setdefault(None, []).append(lambda: setattr(g, "key_scope", "admin"))
    return app.test_client()


def as_stranger(app: Flask) -> FlaskClient:
    """A client without a key."""
    return FlaskClient(app, app.response_class)


@pytest.mark.parametrize(
    ("path", "checks"), [("/health", {"database", "thingspeak"}), ("/health/ready", {"database"})]
)
def test_all_is_well(app: Flask, path: str, checks: set[str]) -> None:
    """With a migrated database the checks pass and are not cached; a stranger learns no more than that."""
    answer = as_stranger(app).get(path)
    assert (answer.status_code, answer.get_json()) == (
        200,
        {"status": "ok", "checks": {name: {"ok": True} for name in checks}},
    )
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Retry-After" not in answer.headers


def test_admins_are_told_the_rest(app: Flask) -> None:
    """How long the check took, since when it has been so, and what was found."""
    check = as_admin(app).get("/health").get_json()["checks"]["database"]
    assert check["latency_ms"] >= 0
    assert check["since"].endswith("+00:00")
    assert check["detail"] == f"answers, at migration {health.newest_migration()}"


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_before_the_migration_it_is_not_ready(make_app: MakeApp, path: str) -> None:
    """An empty database is 503 with Retry-After; the detail names the command, and is for admins."""
    app = make_app()
    answer = app.test_client().get(path)  # its key cannot be looked up
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert (answer.get_json()["status"], answer.get_json()["checks"]["database"]) == (
        "unavailable",
        {"ok": False},
    )
    assert (
        "flask --app api.app db upgrade"
        in as_admin(make_app()).get(path).get_json()["checks"]["database"]["detail"]
    )


@pytest.mark.sqlite_only("damages its file")
@pytest.mark.parametrize("damage", ["garbage", "folder", "missing folder"])
def test_a_database_that_cannot_be_read_is_not_ready(
    make_app: MakeApp, tmp_path: Path, damage: str
) -> None:
    """Whatever is wrong with the file, the app starts, the answer is 503 and no traceback, and the process is still alive."""
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
    assert answer.get_json()["checks"]["database"]["detail"].startswith("does not answer")
    assert client.get("/health/live").get_json() == {"status": "ok", "checks": {}}
    assert client.get(NODES).status_code >= 500


def test_ready_comes_back_by_itself(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as the database is there the same process is ready, and `since` is the moment when it found out."""
    monkeypatch.setattr(health, "FRESH", 0.0)
    app = make_app()
    client = as_admin(app)
    first = client.get("/health").get_json()
    again = client.get("/health").get_json()
    assert (first["status"], again["checks"]["database"]["since"]) == (
        "unavailable",
        first["checks"]["database"]["since"],
    )
    with app.app_context():
        upgrade()
    recovered = client.get("/health")
    assert (recovered.status_code, recovered.get_json()["status"]) == (200, "ok")
    assert (
        recovered.get_json()["checks"]["database"]["since"] > first["checks"]["database"]["since"]
    )


def test_what_is_not_critical_only_degrades(app: Flask) -> None:
    """A breaker that is open is shown, with its state; requests can be served, and readiness does not ask for it."""
    state = {
        "ok": False,
        "state": "open",
        "since": health.datetime(2026, 1, 1, tzinfo=health.UTC),
        "detail": "opened by 5 failures",
    }
    health.register(app, "thingspeak", lambda: state, critical=False)
    assert as_stranger(app).get("/health").get_json()["checks"]["thingspeak"] == {"ok": False}
    assert list(app.test_client().get("/health/ready").get_json()["checks"]) == ["database"]
    answer = as_admin(app).get("/health")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")
    shown = answer.get_json()["checks"]["thingspeak"]
    assert (shown["state"], shown["since"], shown["detail"]) == (
        "open",
        "2026-01-01T00:00:00+00:00",
        "opened by 5 failures",
    )
    printed = app.test_cli_runner().invoke(args=["health"])
    assert (printed.exit_code, json.loads(printed.output)["checks"]["thingspeak"]["state"]) == (
        0,
        "open",
    )


def test_a_flood_costs_one_question(app: Flask) -> None:
    """However many ask at once and soon after, the dependency is asked once; all get the same."""
    asked: list[int] = []
    together, release = threading.Barrier(9), threading.Event()

    def slow() -> health.Body:
        asked.append(1)
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
    assert (statuses, len(asked)) == ([200] * 8, 1)


def test_a_check_that_hangs_is_bounded(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as failed after a while; asking again starts no second one until it has come back, and then it is well."""
    monkeypatch.setattr(health, "LONGEST", 0.05)
    monkeypatch.setattr(health, "FRESH", 0.0)
    asked: list[int] = []
    hanging, returned = threading.Event(), threading.Event()

    def hang() -> health.Body:
        asked.append(1)
        hanging.wait(10)
        returned.set()
        return {"ok": True}

    health.register(app, "database", hang, critical=True)
    client = as_admin(app)
    for _ in range(3):
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.get_json()["checks"]["database"]["detail"]) == (
            503,
            "has not answered within 0.05 s",
        )
    assert len(asked) == 1
    monkeypatch.setattr(health, "LONGEST", 10.0)
    hanging.set()
    assert returned.wait(10)
    assert client.get("/health/ready").status_code == 200


def test_the_limiters_store_is_a_dependency_of_its_own(
    make_app: MakeApp, migrated: str, tmp_path: Path
) -> None:
    """A store that cannot be reached degrades: limits fall back to each worker's memory."""
    assert migrated
    fine = (
        as_stranger(make_app(limiter_url=f"sqlite:///{tmp_path}/limits.db"))
        .get("/health")
        .get_json()
    )
    assert (fine["status"], fine["checks"]["limiter"]) == ("ok", {"ok": True})
    away = make_app(limiter_url="sqlite:////no/such/folder/limits.db").test_client().get("/health")
    assert (away.status_code, away.get_json()["status"]) == (200, "degraded")
