"""Injected faults: they affect the named route until they expire."""

import json
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api.platform import faults
from api.platform.state import app_state
from observability.spec import names
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import ORDERS, is_problem, sample


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fault.json"


@pytest.fixture
def client(make_app: MakeApp, migrated: str, file: Path) -> FlaskClient:
    """Return a client of an app that reads the file."""
    assert migrated
    return make_app(faults_file=file).test_client()


def write_fault(file: Path, **fault: object) -> None:
    file.write_text(
        json.dumps({"route": "orders.list", "kind": "error", "until": time.time() + 60} | fault),
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        "null",
        '"x"',
        "{}",
        '{"until": "x"}',
        '{"until": null}',
        '{"until": 1}',
        '{"until": NaN}',
        "\udcff",
        "[1e999]",
    ],
)
def test_invalid_or_expired_fault_has_no_effect(file: Path, text: str) -> None:
    """An expired, half-written or malformed file has no effect."""
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert faults.current(file) == {}


def test_unreadable_fault_file_has_no_effect(tmp_path: Path) -> None:
    """A missing file, and a folder in its place."""
    assert faults.current(tmp_path / "missing") == {}
    assert faults.current(tmp_path) == {}


def test_current_fault_is_returned(file: Path) -> None:
    """Until it expires."""
    write_fault(file, kind="slow", seconds=2)
    assert faults.current(file)["seconds"] == 2


@pytest.mark.parametrize("kind", ["error", "unheard-of", None])
def test_error_fault_fails_one_route(client: FlaskClient, file: Path, kind: str | None) -> None:
    """It is a handled error; the other routes work, and without the file all do."""
    write_fault(file, kind=kind)
    is_problem(client.get(ORDERS), 500)
    assert client.get("/health/ready").status_code == 200
    assert (
        sample(
            app_state(client.application).registry,
            f"{names.HTTP_EXCEPTIONS}_total",
            route="orders.list",
            type=names.NO_TYPE,
        )
        == 0
    )
    file.unlink()
    assert client.get(ORDERS).status_code == 200


def test_exception_fault_is_an_unhandled_exception(client: FlaskClient, file: Path) -> None:
    """It is counted and not exposed."""
    write_fault(file, kind="exception")
    body = is_problem(client.get(ORDERS), 500)
    assert "drill" not in body["detail"]
    assert (
        sample(
            app_state(client.application).registry,
            f"{names.HTTP_EXCEPTIONS}_total",
            route="orders.list",
            type="InjectedError",
        )
        == 1
    )


def test_slow_fault_delays_a_correct_response(
    client: FlaskClient, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file says by how many seconds; by default one."""
    waits: list[float] = []
    monkeypatch.setattr(faults.time, "sleep", waits.append)
    write_fault(file, kind="slow", seconds=0.7)
    assert client.get(ORDERS).status_code == 200
    write_fault(file, kind="slow")
    assert client.get(ORDERS).status_code == 200
    assert waits == [0.7, 1.0]


@pytest.mark.usefixtures("migrated")
def test_fault_file_is_ignored_without_the_setting(make_app: MakeApp, file: Path) -> None:
    """EVARA_FAULTS_FILE names it."""
    write_fault(file)
    assert make_app().test_client().get(ORDERS).status_code == 200
