"""`flask keys`: create, list and revoke API keys."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from api.platform.state import app_state
from tests.api.platform.helpers import ORDER, ORDERS, bearer, is_problem


def run(app: Flask, *words: str) -> list[str]:
    """Run a command of the group and return the lines that it prints."""
    result = app.test_cli_runner().invoke(args=["keys", *words])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def listed_key(app: Flask, name: str) -> dict[str, Any]:
    """Return the key of that name from `keys list --json`."""
    listed = json.loads(run(app, "list", "--json")[0])["keys"]
    [key] = [key for key in listed if key["name"] == name]
    return dict(key)


def test_last_line_of_create_is_only_the_key(app: Flask) -> None:
    """Scripts read the last line; the key has its scope until it is revoked."""
    token = run(app, "create", "ci", "--scope", "write")[-1]
    client, headers = app.test_client(), bearer(token)
    assert client.post(ORDERS, json=ORDER, headers=headers).status_code == 201
    is_problem(client.get("/api/v1/keys/", headers=headers), 403)
    key = listed_key(app, "ci")
    assert (key["scope"], key["unlimited"], key["expires_at"]) == ("write", False, None)
    for _ in range(2):
        assert "revoked" in run(app, "revoke", key["id"])[0]
    is_problem(client.get(ORDERS, headers=headers), 401)


def test_keys_are_listed_without_secrets(app: Flask) -> None:
    """A heading, then one line for each key; no token is printed."""
    options = ("--scope", "read", "--expires", "90d", "--unlimited")
    token = run(app, "create", "night shift", *options)[-1]
    table = run(app, "list")
    assert table[0].split()[:3] == ["id", "scope", "limits"]
    row = next(line for line in table if line.endswith("night shift"))
    assert row.split()[1:3] == ["read", "none"]
    key = listed_key(app, "night shift")
    expires_at = datetime.fromisoformat(key["expires_at"])
    lifetime = expires_at - datetime.fromisoformat(key["created_at"])
    assert abs(lifetime - timedelta(days=90)) < timedelta(minutes=1)
    assert token not in "".join(table + run(app, "list", "--json"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "x"), "Missing option '--scope'"),
        (("create", "x", "--scope", "root"), "'root' is not one of"),
        (("create", "x", "--scope", "read", "--expires", "soon"), "'soon' is no duration"),
        (("create", "x", "--scope", "read", "--expires", "0d"), "no time at all"),
        (("create", "x", "--scope", "read", "--expires", "9999999999d"), "for '--expires'"),
        (("create", "x" * 101, "--scope", "read"), "Length must be between 1 and 100"),
        (("revoke", "nothing"), "Key 'nothing' does not exist"),
    ],
)
def test_errors_are_reported_in_a_sentence(
    app: Flask, words: tuple[str, ...], message: str
) -> None:
    """A sentence and an exit code instead of a traceback."""
    result = app.test_cli_runner().invoke(args=["keys", *words])
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output


def test_lost_commit_is_reported_as_unknown(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key may exist, so the message does not ask for migrations, but to look."""

    def lose(_: object) -> None:
        raise app_state(app).database.engine.dialect.dbapi.OperationalError("connection lost")

    monkeypatch.setattr(app_state(app).database.engine.dialect, "do_commit", lose)
    result = app.test_cli_runner().invoke(args=["keys", "create", "x", "--scope", "read"])
    assert result.exit_code == 1
    assert "the change may be stored, or not. fix: list what is stored" in result.output
    assert "db upgrade" not in result.output
