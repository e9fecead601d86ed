"""Log lines: JSON, one per request, with an id that callers may choose only within limits."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import MakeApp
from tests.api.helpers import NODES

Lines = list[dict[str, Any]]


@pytest.fixture
def lines_of(make_app: MakeApp, database_file: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Sends one request to a fresh app → its answer and the lines that were logged."""
    assert database_file.exists()

    def send(path: str, **words: Any) -> tuple[Any, Lines]:
        client = make_app().test_client()  # here, because it takes hold of the standard error of this phase of the test
        answer = client.open(path, **words)
        return answer, [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    return send


@pytest.mark.parametrize(
    ("path", "method", "route", "status"),
    [
        (NODES, "GET", "nodes.list", 200),
        (f"{NODES}/x", "DELETE", "nodes.delete", 404),
        (f"{NODES}?page=0", "GET", "nodes.list", 422),
        ("/no\nthing", "GET", "unmatched", 404),
        ("/%ff%00", "GET", "unmatched", 404),
        ("/health", "BREW", "unmatched", 405),
        ("/health/live", "HEAD", "health.live", 200),
    ],
)
def test_every_request_is_one_line(lines_of: Any, path: str, method: str, route: str, status: int) -> None:
    """Route, method, status, duration and id of every request are on one line, whatever was asked."""
    answer, [line] = lines_of(path, method=method)
    assert (line["route"], line["method"], line["status"]) == (route, method, status)
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert line["duration_ms"] >= 0
    assert (line["service"], line["env"], line["level"]) == ("evara-api", "test", "INFO")
    assert line["timestamp"]


@pytest.mark.parametrize("given", ["abcd1234", "a" * 64, "trace:0af7-6519.cd_43"])
def test_a_well_formed_id_is_taken_over(lines_of: Any, given: str) -> None:
    """A caller's id comes back and is in the log."""
    answer, [line] = lines_of("/health/live", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == line["request_id"] == given


@pytest.mark.parametrize("given", ["", "short", "a" * 65, "has space", '{"level":1}', "ümlaut12", "abcd1234;"])
def test_any_other_id_is_replaced(lines_of: Any, given: str) -> None:
    """What is too short, too long or has odd characters never reaches the log."""
    answer, [line] = lines_of("/health/live", headers={"X-Request-ID": given.encode().decode("latin-1")})
    assert answer.headers["X-Request-ID"] == line["request_id"] != given
    assert len(line["request_id"]) == 32


def test_lines_outside_requests_have_no_id(make_app: MakeApp, capsys: pytest.CaptureFixture[str]) -> None:
    """Jobs and start-up log in the same format."""
    make_app(log_level="WARNING")
    logging.getLogger("somewhere").warning("words", extra={"node": "n1"})
    logging.getLogger("somewhere").info("too quiet")
    [line] = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert (line["message"], line["node"], line["request_id"]) == ("words", "n1", None)
