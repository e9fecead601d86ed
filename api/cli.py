"""Commands of `flask --app api.app`: seed, sync, keys, audit, health."""

import signal
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import orjson
from flask import Flask
from flask.cli import AppGroup
from flask_migrate import upgrade
from marshmallow import ValidationError
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from werkzeug.exceptions import NotFound

from api import audit as auditing
from api import health as health_checks
from api import jobs
from api.db import database
from api.models import SCOPES, AuditEntry, Node, now
from api.services import keys
from api.services import sync as syncing
from api.services.thingspeak import thingspeak
from api.v1.keys import KeySchema
from observability.catalogue import Duration, length

SEEDS: tuple[dict[str, Any], ...] = (
    {"id": "main-branch", "name": "Main branch, flow meter", "kind": "flow_meter", "channel_id": 1001, "fields": {"field1": "flow_lps"}},
    {"id": "north-well", "name": "North bore well, discharge", "kind": "bore_well", "channel_id": 1002, "fields": {"field1": "flow_lps"}},
    {"id": "hill-tank", "name": "Hill tank, outlet", "kind": "water_tank", "channel_id": 1003, "fields": {"field1": "flow_lps"}},
)
MOST_LISTED = 10_000
OWN_KEYS = {"prober": "read", "load": "write"}  # of the stack's own programs, not rate-limited


def away(error: SQLAlchemyError) -> click.ClickException:
    return click.ClickException(f"{error.args[0]}; mend the database, or run: flask --app api.app db upgrade")


def keep_keys(folder: Path) -> None:
    """A working key per program, each in a file that its owner alone may read; those that still work stay."""
    for name, scope in OWN_KEYS.items():
        path = folder / name
        if path.exists() and keys.keyring().find(path.read_text(encoding="utf-8")):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # one that others may read must not stay so
        path.touch(mode=0o600)
        path.write_text(keys.create(name=name, scope=scope, unlimited=True).token, encoding="utf-8")


def lifetime(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """`90d` → the moment at which it is over."""
    try:
        return now() + timedelta(seconds=float(length(text).seconds)) if text else None
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(str(error)) from error


class KeyCommands(AppGroup):
    """Tells in a sentence what went wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SQLAlchemyError as error:
            raise away(error) from error
        except (NotFound, ValidationError) as error:
            raise click.ClickException(str(error)) from error


keys_group = KeyCommands("keys", help="API keys: make, list and revoke them.")


@keys_group.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), required=True, help="write may read, admin may all.")
@click.option("--expires", "expires_at", callback=lifetime, help="After so long, as in 90d; never by default.")
@click.option("--unlimited", is_flag=True, help="Not rate-limited: for load runs and probers.")
def create_key(name: str, scope: str, expires_at: datetime | None, unlimited: bool) -> None:
    """Make a key. The last line is the key alone; it is stored nowhere and never shown again."""
    values = KeySchema().load({"name": name, "scope": scope, "unlimited": unlimited})
    key = keys.create(**values, expires_at=expires_at)
    click.echo(f"key {key.id} made, scope {scope}; keep it, this is the only time that it is shown:\n{key.token}")


@keys_group.command("list")
@click.option("--json", "json_", is_flag=True, help="Print JSON for scripts.")
def list_keys(json_: bool) -> None:
    """Show all keys, the newest first; none of them can be shown itself."""
    found = KeySchema(many=True).dump(keys.page(1, MOST_LISTED)["items"])
    if json_:
        click.echo(orjson.dumps({"keys": found}))
        return
    rows = [("id", "scope", "limits", "made", "last used", "expires", "revoked", "name")]
    for key in found:
        times = [(key[name] or "-")[:16] for name in ("created_at", "last_used_at", "expires_at", "revoked_at")]
        rows.append((key["id"], key["scope"], "none" if key["unlimited"] else "yes", *times, key["name"]))
    for row in rows:
        click.echo("{:<13} {:<6} {:<6} {:<17} {:<17} {:<17} {:<17} {}".format(*row))


@keys_group.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke_key(key_id: str) -> None:
    """Revoke a key; doing it again changes nothing."""
    keys.revoke(key_id)
    click.echo(f"revoked; running workers refuse it within {keys.REMEMBERED_SECONDS:.0f} s")


def init_app(app: Flask) -> None:
    app.cli.add_command(keys_group)

    @app.cli.command("seed")
    @click.option("--migrate", is_flag=True, help="Bring the database to the newest migration first.")
    @click.option("--keys", "folder", type=click.Path(path_type=Path), help="Keep a working key for prober and load runs in this folder.")
    def seed(migrate: bool, folder: Path | None) -> None:
        """Make the nodes whose recorded readings the replay server serves; harmless when they exist."""
        if migrate:
            upgrade()
        made = 0
        for values in SEEDS:
            try:
                with database().write() as session:
                    session.add(Node(**values))
                made += 1
            except IntegrityError:
                pass  # somebody made it before us
            except SQLAlchemyError as error:
                raise away(error) from error
        if folder:
            keep_keys(folder)
        click.echo(f"{made} nodes made, {len(SEEDS) - made} were there")

    @app.cli.command("sync")
    @click.option("--every", type=float, help="Seconds between runs; without it, one run.")
    def sync(every: float | None) -> None:
        """Pull new readings from ThingSpeak; exit 1 when a node could not be synced."""
        client = thingspeak()
        if every is None:
            sys.exit(0 if jobs.run(jobs.SYNC, lambda: syncing.sync_all(client)) else 1)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        jobs.run_forever(app, jobs.SYNC, lambda: syncing.sync_all(client), every, stop)

    @app.cli.command("audit")
    @click.option("--since", type=length, metavar="DURATION", help="Only the last 1d, 6h, 30m.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
    def audit(since: Duration | None, as_json: bool) -> None:
        """Print who changed what, oldest first."""
        with database().read() as session:
            for entry in auditing.entries(session, now() - timedelta(seconds=float(since.seconds)) if since else None):
                values = {column.key: getattr(entry, column.key) for column in AuditEntry.__table__.columns}
                click.echo(orjson.dumps(values) if as_json else auditing.LINE.format(**values, who=entry.key_id or entry.address))

    @app.cli.command("health")
    def health() -> None:
        """Print the checks as JSON; exit 1 when one fails."""
        body, status, _ = health_checks.answer({"database": health_checks.check_database()})
        click.echo(orjson.dumps(body))
        sys.exit(0 if status == 200 else 1)
