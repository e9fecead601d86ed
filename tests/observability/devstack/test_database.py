"""The native database and the keys of the stack's own programs."""

import sqlite3
import stat
from typing import Any

import pytest

from observability.devstack import flask_command
from observability.devstack.database import prepare_database
from observability.devstack.layout import StackLayout


def test_a_drill_is_seeded_without_settings_of_the_user(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed of a drill must not report to the user's own receivers."""
    monkeypatch.setenv("EVARA_SENTRY_DSN", "https://key@sentry.invalid/1")
    environments: list[dict[str, str]] = []

    def record(command: list[str], *, env: dict[str, str], **_: Any) -> Any:
        environments.append(env)
        return flask_command.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(flask_command.subprocess, "run", record)
    layout.state.mkdir(parents=True)
    prepare_database(layout, drill=True)
    [environment] = environments
    assert environment["EVARA_SENTRY_DSN"] == ""


def test_keys_are_kept_while_valid_and_replaced_otherwise(layout: StackLayout) -> None:
    """Only their owner can read the files; a lost, wrong or revoked key is replaced by `up`."""
    layout.state.mkdir(parents=True)

    def prepared() -> tuple[str, str]:
        prepare_database(layout)
        return layout.key("prober"), layout.key("load")

    assert (layout.key("prober"), layout.key("load")) == ("", "")
    first = prepared()
    assert all(key.startswith("evara_") for key in first)
    private = [layout.database, *layout.keys.iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert prepared() == first
    (layout.keys / "load").unlink()
    second = prepared()
    assert (second[0], second[1] == first[1]) == (first[0], False)
    (layout.keys / "load").write_text("evara_wrong", encoding="utf-8")
    with sqlite3.connect(layout.database) as database:
        database.execute("UPDATE api_keys SET revoked_at = created_at WHERE name = 'prober'")
    third = prepared()
    assert not set(third) & {*first, *second, "", "evara_wrong"}
    assert prepared() == third
