"""The previous release works while the next one's migrations are already in the database.

tests/release_recording.py has recorded what it does. A release migrates first and then replaces
one process after the other (docs/adr/0031-releases.md): until then, both work with one database.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import upgrade

from api.platform.db import database
from api.platform.revisions import known_revisions
from observability.spec.loading import load_plan
from tests.api.conftest import NewDatabase
from tests.migration_lint import BREAKING, add_migration
from tests.release_recording import CASES, FOLDER, app_over, replay, send_requests

COMPATIBLE = "op.add_column('nodes', sa.Column('site', sa.String(9), server_default='here'))"
CHANGED_DATA = "op.execute(\"UPDATE nodes SET kind = 'flow_meter'\")"


@pytest.fixture
def recording(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the recording of the previous release on the database of this run."""
    engine = request.config.getoption("--database")
    content: dict[str, Any] = json.loads((FOLDER / f"{engine}.json").read_text(encoding="utf-8"))
    return content


def fill(recording: dict[str, Any]) -> None:
    """Bring the database to the previous release's migration and store its data."""
    upgrade(revision=recording["revision"])
    assert differences(recording["before"]) == []


def differences(transactions: list[dict[str, Any]]) -> list[str]:
    """Send statements of the previous release; return those that have another result."""
    expected = [s["result"] for part in transactions for s in part["statements"]]
    return [
        f"{sql}\n  {result} instead of {before}"
        for (sql, result), before in zip(
            replay(database().engine, transactions), expected, strict=True
        )
        if result != before
    ]


def includes(answer: Any, recorded: Any) -> bool:
    """Return whether an answer has everything that was recorded; objects may have new members."""
    if isinstance(recorded, dict):
        return isinstance(answer, dict) and all(
            name in answer and includes(answer[name], part) for name, part in recorded.items()
        )
    if isinstance(recorded, list):
        return len(answer) == len(recorded) and all(map(includes, answer, recorded))
    return bool(answer == recorded)


def test_statements_of_the_previous_release_work(
    recording: dict[str, Any], new_database: NewDatabase
) -> None:
    """Each has the same rows as before the migrations."""
    with app_over(new_database("previous")):
        fill(recording)
        upgrade()
        assert differences(recording["after"]) == []


def test_answers_are_those_of_the_previous_release(
    recording: dict[str, Any], new_database: NewDatabase
) -> None:
    """The API gives them from the data that the previous release has stored."""
    with app_over(new_database("previous")) as app:
        fill(recording)
        upgrade()
        requests = tuple(
            (case["method"], case["path"], case["body"]) for case in recording["cases"]
        )
        answers = send_requests(app.test_client(), requests)
    for answer, recorded in zip(answers, recording["cases"], strict=True):
        assert includes(answer, recorded), f"{answer}\ninstead of\n{recorded}"


@pytest.mark.parametrize("change", [*BREAKING, CHANGED_DATA])
def test_breaking_migrations_are_noticed(
    recording: dict[str, Any], new_database: NewDatabase, tmp_path: Path, change: str
) -> None:
    """The recorded statements meet a column or table that is removed, renamed or required."""
    with app_over(new_database("previous")):
        fill(recording)
        upgrade(directory=str(add_migration(tmp_path, change)))
        assert differences(recording["after"])


def test_added_columns_do_not_matter(
    recording: dict[str, Any], new_database: NewDatabase, tmp_path: Path
) -> None:
    """A column with a default changes no result."""
    with app_over(new_database("previous")):
        fill(recording)
        upgrade(directory=str(add_migration(tmp_path, COMPATIBLE)))
        assert differences(recording["after"]) == []


def test_recording_covers_every_route(app: Flask, recording: dict[str, Any]) -> None:
    """Each route of the catalogue is called, and the recorded migration exists."""
    adapter = app.url_map.bind("localhost")
    called = set()
    for method, path, _ in CASES:
        endpoint, _arguments = adapter.match(path.partition("?")[0], method)
        called.add(endpoint)
    assert called >= {route.id for route in load_plan().routes}
    with app.app_context():
        assert recording["revision"] in known_revisions()
