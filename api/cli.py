"""Commands of `flask --app api.app`: seed, sync, health."""

import signal
import sys
import threading
from typing import Any

import click
import orjson
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from api import health as health_checks
from api import jobs
from api.config import Settings
from api.db import database
from api.models import Node
from api.services import sync as syncing
from api.services.thingspeak import ThingSpeak

SEEDS: tuple[dict[str, Any], ...] = (
    {"id": "main-branch", "name": "Main branch, flow meter", "kind": "flow_meter", "channel_id": 1001, "fields": {"field1": "flow_lps"}},
    {"id": "north-well", "name": "North bore well, discharge", "kind": "bore_well", "channel_id": 1002, "fields": {"field1": "flow_lps"}},
    {"id": "hill-tank", "name": "Hill tank, outlet", "kind": "water_tank", "channel_id": 1003, "fields": {"field1": "flow_lps"}},
)


def init_app(app: Flask) -> None:
    settings: Settings = app.extensions["evara_settings"]

    @app.cli.command("seed")
    @click.option("--migrate", is_flag=True, help="Bring the database to the newest migration first.")
    def seed(migrate: bool) -> None:
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
                raise click.ClickException(f"{error.args[0]}; mend the database, or run: flask --app api.app db upgrade") from error
        click.echo(f"{made} nodes made, {len(SEEDS) - made} were there")

    @app.cli.command("sync")
    @click.option("--every", type=float, help="Seconds between runs; without it, one run.")
    def sync(every: float | None) -> None:
        """Pull new readings from ThingSpeak; exit 1 when a node could not be synced."""
        client = ThingSpeak(settings.thingspeak_url, settings.thingspeak_timeout)
        if every is None:
            sys.exit(0 if jobs.run(jobs.SYNC, lambda: syncing.sync_all(client)) else 1)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        jobs.run_forever(app, jobs.SYNC, lambda: syncing.sync_all(client), every, stop)

    @app.cli.command("health")
    def health() -> None:
        """Print all that the checks found as JSON; exit 1 when requests cannot be served."""
        body, ready = health_checks.report(health_checks.registered(app))
        click.echo(orjson.dumps(body))
        sys.exit(0 if ready else 1)
