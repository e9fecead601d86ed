"""`flask --app api.app seed`: create the nodes of the recording and the keys of the stack."""

from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext
from flask_migrate import upgrade
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import Conflict

from api.cli.errors import database_error
from api.platform.keys import create, is_adoptable, keyring
from api.services import nodes

SEEDS: tuple[dict[str, Any], ...] = (
    {
        "id": "main-branch",
        "name": "Main branch, flow meter",
        "kind": "flow_meter",
        "channel_id": 1001,
        "fields": {"field1": "flow_lps"},
    },
    {
        "id": "north-well",
        "name": "North bore well, discharge",
        "kind": "bore_well",
        "channel_id": 1002,
        "fields": {"field1": "flow_lps"},
    },
    {
        "id": "hill-tank",
        "name": "Hill tank, outlet",
        "kind": "water_tank",
        "channel_id": 1003,
        "fields": {"field1": "flow_lps"},
    },
)
# Programs of the stack and their scopes; they are not rate-limited.
PROGRAMS = {"prober": "read", "load": "write"}


@click.command("seed")
@click.option("--migrate", is_flag=True, help="Bring the database to the newest migration first.")
@click.option(
    "--keys",
    "folder",
    type=click.Path(path_type=Path),
    help="Keep a working key for prober and load runs in this folder.",
)
@with_appcontext
def seed(migrate: bool, folder: Path | None) -> None:
    """Create the nodes whose recorded readings the replay server serves, unless they exist."""
    if migrate:
        upgrade()
    created = [create_node(values) for values in SEEDS].count(True)
    if folder:
        for name, scope in PROGRAMS.items():
            ensure_key(folder / name, scope)
    click.echo(f"{created} nodes made, {len(SEEDS) - created} were there")


def create_node(values: dict[str, Any]) -> bool:
    """Store a node and return True; return False when it exists."""
    try:
        nodes.create(values)
    except Conflict:
        return False
    except SQLAlchemyError as error:
        raise database_error(error) from error
    return True


def ensure_key(path: Path, scope: str) -> None:
    """Put a valid key into the file, named like it, that only its owner may read.

    Keep one that is valid; adopt one that was generated elsewhere. Raise ClickException when the
    file cannot be replaced.
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
        path.unlink(missing_ok=True)  # a file that others may read would keep its mode
        path.touch(mode=0o600)
        key = create(name=path.name, scope=scope, unlimited=True)
        path.write_text(key.token, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(
            f"the key in {path} is no longer valid and cannot be replaced here; fix: remove the "
            f"file that it comes from, as in: rm secrets/{path.name}_key && make up"
        ) from error
