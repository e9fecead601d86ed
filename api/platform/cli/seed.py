"""`flask --app api.app seed`: prepare the database, and keep the keys of the stack's programs."""

from pathlib import Path

import click
from flask.cli import with_appcontext
from flask_migrate import upgrade

from api.platform.cli.errors import Command
from api.platform.db import database
from api.platform.keys import create, is_adoptable, keyring
from api.platform.revisions import is_of_newer_release, stored_revision
from api.platform.state import app_state

# Programs of the stack and their scopes; they are not rate-limited.
PROGRAMS = {"prober": "read", "load": "write"}


@click.command("seed", cls=Command)
@click.option("--migrate", is_flag=True, help="Upgrade the database to the newest migration first.")
@click.option(
    "--keys",
    "folder",
    type=click.Path(path_type=Path),
    help="Keep valid keys for the prober and load runs in this folder.",
)
@with_appcontext
def seed(migrate: bool, folder: Path | None) -> None:
    """Store the data that the app starts with, unless it exists."""
    if migrate:
        migrate_database()
    app_state().store_data()
    if folder:
        for name, scope in PROGRAMS.items():
            ensure_key(folder / name, scope)


def migrate_database() -> None:
    """Upgrade the database to the newest migration, unless a newer release has migrated it."""
    with database().read() as session:
        revision = stored_revision(session)
    if is_of_newer_release(revision):
        click.echo(f"the database is at migration {revision} of a newer release; it stays there")
        return
    upgrade()


def ensure_key(path: Path, scope: str) -> None:
    """Write a valid key, named like the file, to the file, which only its owner can read.

    A valid key in the file stays; one that was generated elsewhere is stored as a key. Raise
    ClickException when the file cannot be replaced.
    """
    token = ""
    if path.exists():
        token = path.read_text(encoding="utf-8").strip()
    if keyring().find(token):
        return
    if is_adoptable(token):
        create(token, name=path.name, scope=scope, unlimited=True)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # an existing file would keep its mode
        path.touch(mode=0o600)
        key = create(name=path.name, scope=scope, unlimited=True)
        path.write_text(key.token, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(
            f"the key in {path} is not valid any more, and the file cannot be replaced; "
            f"fix: rm secrets/{path.name}_key && make up"
        ) from error
