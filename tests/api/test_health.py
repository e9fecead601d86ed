"""Health: alive whatever happens, ready only with a database that answers at the newest migration."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.api.conftest import MakeApp
from tests.api.helpers import NODES


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_all_is_well(client: FlaskClient, path: str) -> None:
    """With a migrated database the checks pass, are measured and are not cached."""
    answer = client.get(path)
    assert (answer.status_code, answer.get_json()["status"]) == (200, "ok")
    assert answer.get_json()["checks"]["database"]["latency_ms"] >= 0
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_before_the_migration_it_is_not_ready(make_app: MakeApp, path: str) -> None:
    """An empty database is 503 with Retry-After, and the detail names the command."""
    answer = make_app().test_client().get(path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "flask --app api.app db upgrade" in answer.get_json()["checks"]["database"]["detail"]


@pytest.mark.parametrize("damage", ["garbage", "folder", "missing folder"])
def test_a_database_that_cannot_be_read_is_not_ready(make_app: MakeApp, tmp_path: Path, damage: str) -> None:
    """Whatever is wrong with the file, the answer is 503 and no traceback, and the process is still alive."""
    path = tmp_path / "broken.db"
    if damage == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    elif damage == "folder":
        path.mkdir()
    else:
        path = tmp_path / "no" / "such" / "folder.db"
    client = make_app(database_url=f"sqlite:///{path}").test_client()
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.get_json()["checks"]["database"]["detail"].startswith("does not answer")
    assert client.get("/health/live").get_json() == {"status": "ok", "checks": {}}
    assert client.get(NODES).status_code >= 500
