"""Commands of `flask --app api.app`: seed, sync, worker, jobs, keys, contract, audit, health."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import orjson
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from api.cli import jobs, keys
from api.jobs import Jobs
from api.models import AuditEntry, Node, now
from api.platform import audit as auditing
from api.platform.db import database
from api.platform.http import contract
from api.platform.http import health as health_checks
from api.platform.keys import create, is_adoptable, keyring
from api.platform.state import app_state
from observability.spec.quantities import Duration, parse_positive_duration

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
OWN_KEYS = {"prober": "read", "load": "write"}  # of the stack's own programs, not rate-limited


def keep_keys(folder: Path) -> None:
    """A working key per program, each in a file that its owner alone may read; one that was made elsewhere is adopted."""
    for name, scope in OWN_KEYS.items():
        path = folder / name
        token = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if keyring().find(token):
            continue
        if is_adoptable(token):
            create(token, name=name, scope=scope, unlimited=True)
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # one that others may read must not stay so
            path.touch(mode=0o600)
            path.write_text(create(name=name, scope=scope, unlimited=True).token, encoding="utf-8")
        except OSError as error:
            mend = f"remove the file it comes from, as in: rm secrets/{name}_key && make up"
            raise click.ClickException(
                f"the key in {path} works no more and cannot be replaced here; {mend}"
            ) from error


def init_app(app: Flask) -> None:
    app.cli.add_command(keys.group)
    app.cli.add_command(jobs.group)
    contract.init_app(app)

    @app.cli.command("seed")
    @click.option(
        "--migrate", is_flag=True, help="Bring the database to the newest migration first."
    )
    @click.option(
        "--keys",
        "folder",
        type=click.Path(path_type=Path),
        help="Keep a working key for prober and load runs in this folder.",
    )
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
                raise keys.away(error) from error
        if folder:
            keep_keys(folder)
        click.echo(f"{made} nodes made, {len(SEEDS) - made} were there")

    @app.cli.command("sync")
    def sync() -> None:
        """Pull new readings from ThingSpeak, once; exit 1 when a node could not be synced to the end."""
        sys.exit(0 if Jobs(app).sync_now() else 1)

    @app.cli.command("worker")
    def worker() -> None:
        """Sync and deliver until SIGTERM."""
        Jobs(app).work()

    @app.cli.command("audit")
    @click.option(
        "--since",
        type=parse_positive_duration,
        metavar="DURATION",
        help="Only the last 1d, 6h, 30m.",
    )
    @click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
    def audit(since: Duration | None, as_json: bool) -> None:
        """Print who changed what, oldest first."""
        with database().read() as session:
            for entry in auditing.entries(
                session, now() - timedelta(seconds=float(since.seconds)) if since else None
            ):
                values = {
                    column.key: getattr(entry, column.key)
                    for column in AuditEntry.__table__.columns
                }
                click.echo(
                    orjson.dumps(values)
                    if as_json
                    else auditing.LINE.format(**values, who=entry.key_id or entry.address)
                )

    @app.cli.command("health")
    def health() -> None:
        """Print all that the checks found as JSON; exit 1 when requests cannot be served."""
        body, ready = health_checks.report(app_state(app).health_checks)
        click.echo(orjson.dumps(body))
        sys.exit(0 if ready else 1)
