"""`flask seed`: migrations, and the keys of the stack's programs."""

import secrets
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from api.platform import keys
from api.platform.cli.seed import PROGRAMS
from api.platform.keys import PREFIX
from api.platform.state import app_state
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import ORDER, ORDERS, bearer


def seed(app: Flask, *options: str) -> str:
    """Run the command and return its output."""
    result = app.test_cli_runner().invoke(args=["seed", *options])
    assert result.exit_code == 0, result.output
    return result.output


def read_keys(folder: Path) -> dict[str, str]:
    """Return the content of each program's file."""
    return {name: (folder / name).read_text(encoding="utf-8").strip() for name in PROGRAMS}


def create_status(app: Flask, token: str) -> int:
    """Return the status with which a key may create an order: 201, 401 or 403."""
    order = ORDER | {"id": secrets.token_hex(5)}
    return app.test_client().post(ORDERS, json=order, headers=bearer(token)).status_code


def test_migrate_option_creates_the_tables(make_app: MakeApp) -> None:
    """--migrate upgrades an empty database to the newest migration."""
    app = make_app()
    seed(app, "--migrate")
    assert app.test_client().get("/health/ready").status_code == 200


def test_migrations_of_a_newer_release_stay(app: Flask) -> None:
    """The release that was there before starts again on the database: a release can be undone."""
    with app_state(app).database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "at migration 9999 of a newer release; it stays there" in seed(app, "--migrate")
    assert app.test_client().get("/health/ready").status_code == 200


def test_seed_creates_keys_for_the_programs(app: Flask, tmp_path: Path) -> None:
    """Each program gets an unlimited key of its scope in a file that only its owner can read."""
    folder = tmp_path / "keys"
    output = seed(app, "--keys", str(folder))
    tokens = read_keys(folder)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    statuses = {name: create_status(app, token) for name, token in tokens.items()}
    assert statuses == {"prober": 403, "load": 201}
    assert not [token for token in tokens.values() if token in output]
    with app.app_context():
        unlimited = {key.name for key in keys.page(1, 100)["items"] if key.unlimited}
    assert unlimited >= PROGRAMS.keys()


def test_second_seed_replaces_only_invalid_keys(app: Flask, tmp_path: Path) -> None:
    """A valid key stays; an invalid one is replaced, and the file gets mode 600."""
    seed(app, "--keys", str(tmp_path))
    before = read_keys(tmp_path)
    (tmp_path / "load").chmod(0o644)
    (tmp_path / "load").write_text("evara_wrong", encoding="utf-8")
    output = seed(app, "--keys", str(tmp_path))
    after = read_keys(tmp_path)
    assert after["prober"] == before["prober"]
    assert after["load"] not in (before["load"], "evara_wrong")
    assert (tmp_path / "load").stat().st_mode & 0o777 == 0o600
    assert not [token for token in after.values() if token in output]


def test_key_generated_elsewhere_is_stored(app: Flask, tmp_path: Path) -> None:
    """A file may hold a well-formed key that the database does not know yet."""
    tokens = {name: PREFIX + secrets.token_urlsafe(32) for name in PROGRAMS}
    for name, token in tokens.items():
        (tmp_path / name).write_text(f"{token}\n", encoding="utf-8")
    for _ in range(2):
        seed(app, "--keys", str(tmp_path))
    assert read_keys(tmp_path) == tokens
    assert create_status(app, tokens["load"]) == 201
    assert create_status(app, tokens["prober"]) == 403


def test_revoked_key_is_replaced(app: Flask, tmp_path: Path) -> None:
    """A key that was stored and then revoked does not become valid again."""
    seed(app, "--keys", str(tmp_path))
    revoked = read_keys(tmp_path)["load"]
    with app.app_context():
        for key in keys.page(1, 100)["items"]:
            if key.name == "load":
                keys.revoke(key.id)
    seed(app, "--keys", str(tmp_path))
    assert create_status(app, revoked) == 401
    assert create_status(app, read_keys(tmp_path)["load"]) == 201


def test_read_only_key_file_is_reported_with_its_fix(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers mount the file read-only; the message names the command."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Device or resource busy")

    monkeypatch.setattr(Path, "unlink", refuse)
    (tmp_path / "prober").write_text("of no form", encoding="utf-8")
    result = app.test_cli_runner().invoke(args=["seed", "--keys", str(tmp_path)])
    assert result.exit_code == 1
    assert "rm secrets/prober_key && make up" in result.output
