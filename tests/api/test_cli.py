"""The commands of `flask --app api.app`."""

import json
import re
import secrets
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import stamina
from flask import Flask

from api.cli import SEEDS
from api.jobs import Jobs
from api.models import DeadLetter, Delivery
from api.platform.db import database
from api.platform.jobs import dead_letters
from api.platform.keys import PREFIX
from loadtests.thingspeak_stub import ThingSpeakStub
from tests.api.conftest import MakeApp, NewDatabase
from tests.api.helpers import NODES, bearer, is_problem


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
    assert re.search("no such table|does not exist", result.output)
    assert "flask --app api.app db upgrade" in result.output
    assert "Traceback" not in result.output


def test_seeding_can_migrate_first(make_app: MakeApp) -> None:
    """--migrate brings an empty database all the way."""
    app = make_app()
    result = app.test_cli_runner().invoke(args=["seed", "--migrate"])
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "3 nodes made, 0 were there")
    assert app.test_client().get("/health/ready").status_code == 200


@pytest.mark.usefixtures("migrated")
def test_sync_exits_by_its_outcome(
    make_app: MakeApp, replay: ThingSpeakStub, tmp_path: Path
) -> None:
    """0 when every node was synced, 1 when one was not; either way what could be read is stored."""
    app = make_app(
        thingspeak_url=f"http://127.0.0.1:{replay.server_port}",
        thingspeak_timeout=5,
        jobs_url=f"sqlite:///{tmp_path}/jobs.db",
    )
    runner = app.test_cli_runner()
    runner.invoke(args=["seed"])
    for others in ("north-well", "hill-tank"):
        app.test_client().delete(f"{NODES}/{others}")
    assert runner.invoke(args=["sync"]).exit_code == 0
    assert app.test_client().get(f"{NODES}/main-branch/readings").get_json()["total"] > 1400
    replay.set_mode("fail", 60)
    with stamina.set_testing(True, attempts=1):
        assert runner.invoke(args=["sync"]).exit_code == 1


@pytest.fixture
def buried(app: Flask) -> list[str]:
    """The ids of two dead letters: a sync's and a delivery's."""
    with app.app_context(), database().write() as session:
        dead_letters.record(session, dead_letters.SYNC, "hill-tank", "answered -1", 1)
        again = {"node_id": "hill-tank", "payload": {"state": "below"}, "headers": {}}
        dead_letters.record(session, dead_letters.DELIVERIES, "k" * 32, "answered 500", 12, again)
    with app.app_context(), database().read() as session:
        return [str(row.id) for row in session.query(DeadLetter).order_by(DeadLetter.id)]


def test_dead_letters_are_listed(app: Flask, buried: list[str]) -> None:
    """For people a line each, for scripts everything."""
    text = app.test_cli_runner().invoke(args=["jobs", "list"]).output
    assert f"{buried[0]}  thingspeak.sync hill-tank: answered -1 (attempts: 1, " in text
    assert text.endswith("2 dead letters, 0 deliveries wait\n")
    body = json.loads(app.test_cli_runner().invoke(args=["jobs", "list", "--json"]).output)
    assert [row["task"] for row in body["dead_letters"]] == ["thingspeak.sync", "alarms.deliver"]
    assert body["dead_letters"][1]["payload"]["payload"] == {"state": "below"}
    assert body["deliveries_pending"] == 0


def test_a_retried_delivery_is_in_the_outbox_with_its_key(app: Flask, buried: list[str]) -> None:
    """The letter is gone, and the delivery begins anew with the key that a receiver may know."""
    assert app.test_cli_runner().invoke(args=["jobs", "retry", buried[1]]).exit_code == 0
    with app.app_context(), database().read() as session:
        (delivery,) = session.query(Delivery)
        assert (delivery.key, delivery.attempts, delivery.payload) == (
            "k" * 32,
            0,
            {"state": "below"},
        )
        assert [row.subject for row in session.query(DeadLetter)] == ["hill-tank"]
    assert (
        app.test_cli_runner()
        .invoke(args=["jobs", "list"])
        .output.endswith("1 dead letters, 1 deliveries wait\n")
    )


def test_a_retried_sync_is_in_the_queue(
    make_app: MakeApp, buried: list[str], tmp_path: Path
) -> None:
    """The worker finds it there at once."""
    made = make_app(jobs_url=f"sqlite:///{tmp_path}/jobs.db")
    assert made.test_cli_runner().invoke(args=["jobs", "retry", buried[0]]).exit_code == 0
    (task,) = Jobs(made).huey.pending()
    assert task.args[0] == "hill-tank"


def test_a_dropped_letter_is_gone(app: Flask, buried: list[str]) -> None:
    """Dropping decides that it is not wanted any more; a letter that is not there is told."""
    for number in buried:
        assert app.test_cli_runner().invoke(args=["jobs", "drop", number]).exit_code == 0
    assert (
        json.loads(app.test_cli_runner().invoke(args=["jobs", "list", "--json"]).output)[
            "dead_letters"
        ]
        == []
    )
    for command in ("drop", "retry"):
        result = app.test_cli_runner().invoke(args=["jobs", command, buried[0]])
        assert (result.exit_code, f"there is no dead letter {buried[0]}" in result.output) == (
            1,
            True,
        )
    with app.app_context(), database().read() as session:
        assert session.query(Delivery).count() == 0


def test_health_exits_by_the_checks(
    make_app: MakeApp, app: Flask, new_database: NewDatabase
) -> None:
    """0 with every check fine, 1 with one that is not, and the checks as JSON."""
    fine = app.test_cli_runner().invoke(args=["health"])
    assert (fine.exit_code, json.loads(fine.output)["status"]) == (0, "ok")
    empty = make_app(database_url=new_database("empty")).test_cli_runner().invoke(args=["health"])
    assert (empty.exit_code, json.loads(empty.output)["status"]) == (1, "unavailable")


def test_seeds_are_nodes_that_the_api_would_take(app: Flask) -> None:
    """Every seed passes the schema of the API."""
    for values in SEEDS:
        assert app.test_client().post(NODES, json=values).status_code == 201


def keys_command(app: Flask, *words: str) -> list[str]:
    result = app.test_cli_runner().invoke(args=["keys", *words])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_a_made_key_is_the_last_line_alone(app: Flask) -> None:
    """Scripts take the last line; the key opens what its scope says, until it is revoked."""
    lines = keys_command(app, "create", "ci", "--scope", "write")
    client, headers = app.test_client(), bearer(lines[-1])
    assert client.post(NODES, json=SEEDS[0], headers=headers).status_code == 201
    is_problem(client.get("/api/v1/keys/", headers=headers), 403)
    [listed] = [
        key
        for key in json.loads(keys_command(app, "list", "--json")[0])["keys"]
        if key["name"] == "ci"
    ]
    assert (listed["scope"], listed["unlimited"], listed["expires_at"]) == ("write", False, None)
    for _ in range(2):
        assert "revoked" in keys_command(app, "revoke", listed["id"])[0]
    is_problem(client.get(NODES, headers=headers), 401)


def test_keys_are_listed_readably_and_without_secrets(app: Flask) -> None:
    """One line each under one of headings; never what opens anything."""
    key = keys_command(
        app, "create", "night shift", "--scope", "read", "--expires", "90d", "--unlimited"
    )[-1]
    table = keys_command(app, "list")
    assert table[0].split()[:3] == ["id", "scope", "limits"]
    row = next(line for line in table if line.endswith("night shift"))
    assert row.split()[1:3] == ["read", "none"]
    [listed] = [
        found
        for found in json.loads(keys_command(app, "list", "--json")[0])["keys"]
        if found["name"] == "night shift"
    ]
    life = datetime.fromisoformat(listed["expires_at"]) - datetime.fromisoformat(
        listed["created_at"]
    )
    assert abs(life - timedelta(days=90)) < timedelta(minutes=1)
    assert key not in "".join(table + keys_command(app, "list", "--json"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "x"), "Missing option '--scope'"),
        (("create", "x", "--scope", "root"), "'root' is not one of"),
        (("create", "x", "--scope", "read", "--expires", "soon"), "'soon' is no duration"),
        (("create", "x", "--scope", "read", "--expires", "0d"), "no time at all"),
        (
            ("create", "x", "--scope", "read", "--expires", "9999999999d"),
            "Invalid value for '--expires'",
        ),
        (("create", "x" * 101, "--scope", "read"), "Length must be between 1 and 100"),
        (("revoke", "nothing"), "There is no key 'nothing'"),
    ],
)
def test_commands_about_keys_say_what_is_wrong(
    app: Flask, words: tuple[str, ...], said: str
) -> None:
    """A sentence and an exit code instead of a traceback."""
    result = app.test_cli_runner().invoke(args=["keys", *words])
    assert result.exit_code != 0
    assert said in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("words", [("create", "x", "--scope", "read"), ("list",), ("revoke", "x")])
def test_commands_about_keys_need_migrations(make_app: MakeApp, words: tuple[str, ...]) -> None:
    """An empty database gives the mending command."""
    result = make_app().test_cli_runner().invoke(args=["keys", *words])
    assert result.exit_code == 1
    assert "flask --app api.app db upgrade" in result.output
    assert "Traceback" not in result.output


def test_seeding_keeps_keys_for_the_stacks_own_programs(app: Flask, tmp_path: Path) -> None:
    """A read and a write key, not limited, in files for their owner alone; again, they stay."""
    runner, folder = app.test_cli_runner(), tmp_path / "keys"
    assert runner.invoke(args=["seed", "--keys", str(folder)]).exit_code == 0
    kept = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    client = app.test_client()
    statuses = {
        name: client.patch(
            f"{NODES}/hill-tank", json={"name": "X"}, headers=bearer(key)
        ).status_code
        for name, key in kept.items()
    }
    assert statuses == {"prober": 403, "load": 200}
    (folder / "load").chmod(0o644)
    (folder / "load").write_text("evara_wrong", encoding="utf-8")
    output = runner.invoke(args=["seed", "--keys", str(folder)]).output
    again = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert (again["prober"] == kept["prober"], again["load"] in (kept["load"], "evara_wrong")) == (
        True,
        False,
    )
    assert (folder / "load").stat().st_mode & 0o777 == 0o600
    assert not [key for key in again.values() if key in output]
    listed = {
        key["name"]: key["unlimited"]
        for key in json.loads(keys_command(app, "list", "--json")[0])["keys"]
    }
    assert listed["prober"]
    assert listed["load"]


def test_a_key_that_was_made_elsewhere_is_adopted(app: Flask, tmp_path: Path) -> None:
    """A file with the form of a key, of which the database knows nothing, is let in as it stands; a
    revoked one never again."""
    runner, folder = app.test_cli_runner(), tmp_path / "keys"
    folder.mkdir()
    ours = {name: PREFIX + secrets.token_urlsafe(32) for name in ("prober", "load")}
    for name, token in ours.items():
        (folder / name).write_text(f"{token}\n", encoding="utf-8")
    for _ in range(2):
        assert runner.invoke(args=["seed", "--keys", str(folder)]).exit_code == 0
    assert {
        path.name: path.read_text(encoding="utf-8").strip() for path in folder.iterdir()
    } == ours
    client = app.test_client()
    assert (
        client.patch(
            f"{NODES}/hill-tank", json={"name": "X"}, headers=bearer(ours["load"])
        ).status_code
        == 200
    )
    assert (
        client.patch(
            f"{NODES}/hill-tank", json={"name": "X"}, headers=bearer(ours["prober"])
        ).status_code
        == 403
    )
    [made] = [
        key
        for key in json.loads(keys_command(app, "list", "--json")[0])["keys"]
        if key["name"] == "load"
    ]
    keys_command(app, "revoke", made["id"])
    assert runner.invoke(args=["seed", "--keys", str(folder)]).exit_code == 0
    assert (folder / "load").read_text(encoding="utf-8") != f"{ours['load']}\n"


def test_a_key_that_cannot_be_replaced_is_told(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file is mounted to be read alone, as in a container, the mend is named."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Device or resource busy")

    monkeypatch.setattr(Path, "unlink", refuse)
    (tmp_path / "prober").write_text("of no form", encoding="utf-8")
    result = app.test_cli_runner().invoke(args=["seed", "--keys", str(tmp_path)])
    assert result.exit_code == 1
    assert "rm secrets/prober_key && make up" in result.output
