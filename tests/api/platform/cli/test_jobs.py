"""`flask jobs`: list, retry and drop dead letters."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from api.platform.db import database
from api.platform.jobs import dead_letters
from api.platform.jobs.worker import Jobs
from api.platform.tables import DeadLetter, Delivery
from tests.api.conftest import MakeApp
from tests.api.platform.other_app.orders import NOTIFY, SHIP

KEY = "k" * 32  # of a delivery


def run(app: Flask, *words: str) -> Result:
    """Run a command of the group."""
    return app.test_cli_runner().invoke(args=["jobs", *words])


def list_json(app: Flask) -> dict[str, Any]:
    """Return what `jobs list --json` prints."""
    listed: dict[str, Any] = json.loads(run(app, "list", "--json").output)
    return listed


@pytest.fixture
def letter_ids(app: Flask) -> list[str]:
    """Ids of two dead letters: of a shipment and of a delivery."""
    delivery = {"node_id": "a-1", "payload": {"order": "a-1"}, "headers": {}}
    with app.app_context(), database().write() as session:
        dead_letters.record(session, SHIP, "a-1", "answered -1", 1, {})
        dead_letters.record(session, NOTIFY, KEY, "answered 500", 12, delivery)
    with app.app_context(), database().read() as session:
        return [str(row.id) for row in session.query(DeadLetter).order_by(DeadLetter.id)]


def test_dead_letters_are_listed(app: Flask, letter_ids: list[str]) -> None:
    """The table has a line for each; JSON has every column."""
    text = run(app, "list").output
    assert f"{letter_ids[0]}  {SHIP} a-1: answered -1 (attempts: 1, " in text
    assert text.endswith("2 dead letters, 0 deliveries pending\n")
    listed = list_json(app)
    assert [row["task"] for row in listed["dead_letters"]] == [SHIP, NOTIFY]
    assert listed["dead_letters"][1]["payload"]["payload"] == {"order": "a-1"}
    assert listed["deliveries_pending"] == 0


def test_retried_delivery_returns_to_the_outbox_with_its_key(
    app: Flask, letter_ids: list[str]
) -> None:
    """The dead letter is deleted; the receiver recognises the delivery by its key."""
    assert run(app, "retry", letter_ids[1]).exit_code == 0
    with app.app_context(), database().read() as session:
        (delivery,) = session.query(Delivery)
        assert (delivery.key, delivery.attempts) == (KEY, 0)
        assert delivery.payload == {"order": "a-1"}
        assert [row.subject for row in session.query(DeadLetter)] == ["a-1"]
    assert run(app, "list").output.endswith("1 dead letters, 1 deliveries pending\n")


def test_retried_task_is_queued(make_app: MakeApp, letter_ids: list[str], tmp_path: Path) -> None:
    """A worker can run the task at once."""
    app = make_app(jobs_url=f"sqlite:///{tmp_path}/jobs.db")
    assert run(app, "retry", letter_ids[0]).exit_code == 0
    (task,) = Jobs(app).huey.pending()
    assert task.args[0] == "a-1"


def test_dropped_letter_is_deleted(app: Flask, letter_ids: list[str]) -> None:
    """Nothing is queued for it."""
    for number in letter_ids:
        assert run(app, "drop", number).exit_code == 0
    assert list_json(app) == {"dead_letters": [], "deliveries_pending": 0}


@pytest.mark.parametrize("command", ["drop", "retry"])
@pytest.mark.parametrize("number", ["4711", "0_1", "١", "+1", "1.0", "9" * 30])
def test_unknown_letter_id_is_reported(
    app: Flask, letter_ids: list[str], command: str, number: str
) -> None:
    """The message contains the id; texts that only Python reads as a number are no ids."""
    assert "1" in letter_ids
    result = run(app, command, number)
    assert result.exit_code == 1
    assert f"there is no dead letter {number}" in result.output
