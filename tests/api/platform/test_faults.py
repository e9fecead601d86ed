"""Faults on demand: only the named route, only while the file says so, each with its own effect."""

import json
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api.platform import faults
from api.platform.telemetry import metrics
from observability.spec import names
from tests.api.conftest import MakeApp
from tests.api.helpers import NODES, is_problem, sample


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fault.json"


@pytest.fixture
def drilled(make_app: MakeApp, migrated: str, file: Path) -> FlaskClient:
    """A client of an app that obeys the file."""
    assert migrated
    return make_app(faults_file=file).test_client()


def ask(file: Path, **fault: object) -> None:
    file.write_text(
        json.dumps({"route": "nodes.list", "kind": "error", "until": time.time() + 60} | fault),
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
def test_what_is_no_present_fault_is_none(file: Path, text: str) -> None:
    """Expired, half-written and odd files do nothing."""
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert faults.current(file) == {}


def test_a_file_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """A missing file and a folder in its place do nothing."""
    assert faults.current(tmp_path / "missing") == {}
    assert faults.current(tmp_path) == {}


def test_a_present_fault_is_given_as_it_stands(file: Path) -> None:
    """Until its time has come, the file's content is the fault."""
    ask(file, kind="slow", seconds=2)
    assert faults.current(file)["seconds"] == 2


@pytest.mark.parametrize("kind", ["error", "unheard-of", None])
def test_an_error_is_a_500_of_one_route(drilled: FlaskClient, file: Path, kind: str | None) -> None:
    """The named route fails as a handled error, and the others answer; without the file all is well
    again."""
    ask(file, kind=kind)
    is_problem(drilled.get(NODES), 500)
    assert drilled.get("/health/ready").status_code == 200
    assert (
        sample(
            metrics.registry_of(drilled.application),
            f"{names.HTTP_EXCEPTIONS}_total",
            route="nodes.list",
            type=names.NO_TYPE,
        )
        == 0
    )
    file.unlink()
    assert drilled.get(NODES).status_code == 200


def test_an_exception_is_one_that_nobody_handles(drilled: FlaskClient, file: Path) -> None:
    """The named route ends in a counted, unforeseen exception, whose words stay inside."""
    ask(file, kind="exception")
    body = is_problem(drilled.get(NODES), 500)
    assert "drill" not in body["detail"]
    assert (
        sample(
            metrics.registry_of(drilled.application),
            f"{names.HTTP_EXCEPTIONS}_total",
            route="nodes.list",
            type="InjectedError",
        )
        == 1
    )


def test_slow_is_slow_and_right(
    drilled: FlaskClient, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The named route waits as long as the file says, and then answers as always."""
    waits: list[float] = []
    monkeypatch.setattr(faults.time, "sleep", waits.append)
    ask(file, kind="slow", seconds=0.7)
    assert drilled.get(NODES).status_code == 200
    ask(file, kind="slow")
    assert drilled.get(NODES).status_code == 200
    assert waits == [0.7, 1.0]


@pytest.mark.usefixtures("migrated")
def test_without_the_setting_no_file_is_read(make_app: MakeApp, file: Path) -> None:
    """An app that was not told of the file ignores it."""
    ask(file)
    assert make_app().test_client().get(NODES).status_code == 200
