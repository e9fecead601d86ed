"""The commands of `flask --app api.app`."""

import json
import os
import signal
from pathlib import Path

import pytest
import stamina
from flask import Flask

from api.cli import SEEDS
from api.services import sync
from loadtests.replay import Replay
from tests.api.conftest import MakeApp
from tests.api.helpers import NODES


def test_seeding_twice_makes_the_nodes_once(app: Flask) -> None:
    """The second seed finds everything there and changes nothing."""
    runner = app.test_cli_runner()
    assert runner.invoke(args=["seed"]).output == "3 nodes made, 0 were there\n"
    app.test_client().patch(f"{NODES}/hill-tank", json={"name": "Renamed"})
    assert runner.invoke(args=["seed"]).output == "0 nodes made, 3 were there\n"
    assert app.test_client().get(f"{NODES}/hill-tank").get_json()["name"] == "Renamed"


def test_seeding_without_migrations_says_what_to_run(make_app: MakeApp) -> None:
    """An empty database gives a sentence with the mending command instead of a traceback."""
    result = make_app().test_cli_runner().invoke(args=["seed"])
    assert result.exit_code == 1
    assert "no such table" in result.output
    assert "flask --app api.app db upgrade" in result.output
    assert "Traceback" not in result.output


def test_seeding_can_migrate_first(make_app: MakeApp) -> None:
    """--migrate brings an empty database all the way."""
    app = make_app()
    result = app.test_cli_runner().invoke(args=["seed", "--migrate"])
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "3 nodes made, 0 were there")
    assert app.test_client().get("/health/ready").status_code == 200


@pytest.mark.usefixtures("database_file")
def test_sync_exits_by_its_outcome(make_app: MakeApp, replay: Replay) -> None:
    """0 when every node was synced, 1 when one was not; either way what could be read is stored."""
    app = make_app(thingspeak_url=f"http://127.0.0.1:{replay.server_port}", thingspeak_timeout=5)
    runner = app.test_cli_runner()
    runner.invoke(args=["seed"])
    for others in ("north-well", "hill-tank"):
        app.test_client().delete(f"{NODES}/{others}")
    assert runner.invoke(args=["sync"]).exit_code == 0
    assert app.test_client().get(f"{NODES}/main-branch/readings").get_json()["total"] > 1400
    replay.behave("fail", 60)
    with stamina.set_testing(True, attempts=1):
        assert runner.invoke(args=["sync"]).exit_code == 1


def test_sync_runs_until_a_signal(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --every it goes on, and SIGTERM ends it after the run at hand."""
    runs: list[str] = []

    def work(*_: object) -> sync.Outcome:
        runs.append("run")
        if len(runs) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return sync.Outcome(0, 0, ())

    monkeypatch.setattr(sync, "sync_all", work)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert app.test_cli_runner().invoke(args=["sync", "--every", "0.001"]).exit_code == 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert len(runs) == 3


def test_health_exits_by_the_checks(make_app: MakeApp, app: Flask, tmp_path: Path) -> None:
    """0 with every check fine, 1 with one that is not, and the checks as JSON."""
    fine = app.test_cli_runner().invoke(args=["health"])
    assert (fine.exit_code, json.loads(fine.output)["status"]) == (0, "ok")
    empty = make_app(database_url=f"sqlite:///{tmp_path}/empty.db").test_cli_runner().invoke(args=["health"])
    assert (empty.exit_code, json.loads(empty.output)["status"]) == (1, "unavailable")


def test_seeds_are_nodes_that_the_api_would_take(app: Flask) -> None:
    """Every seed passes the schema of the API."""
    for values in SEEDS:
        assert app.test_client().post(NODES, json=values).status_code == 201
