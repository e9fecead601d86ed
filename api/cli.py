"""Commands of `flask --app api.app`: seed, sync, worker, jobs, health."""

import sys
from typing import Any

import click
import orjson
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from api import health as health_checks
from api.db import database
from api.jobs import Jobs
from api.models import DeadLetter, Delivery, Node
from api.services import letters, notifications

SEEDS: tuple[dict[str, Any], ...] = (
    {"id": "main-branch", "name": "Main branch, flow meter", "kind": "flow_meter", "channel_id": 1001, "fields": {"field1": "flow_lps"}},
    {"id": "north-well", "name": "North bore well, discharge", "kind": "bore_well", "channel_id": 1002, "fields": {"field1": "flow_lps"}},
    {"id": "hill-tank", "name": "Hill tank, outlet", "kind": "water_tank", "channel_id": 1003, "fields": {"field1": "flow_lps"}},
)
SHOWN = ("id", "task", "subject", "error", "attempts", "first_at", "last_at", "payload")


def take_out(number: int, *, again: bool) -> DeadLetter:
    """Removes a dead letter; `again` puts a delivery back into the outbox with its key, by which a receiver knows it."""
    with database().write() as session:
        letter = session.get(DeadLetter, number)
        if letter is None:
            raise click.ClickException(f"there is no dead letter {number}; see: flask --app api.app jobs list")
        session.delete(letter)
        if again and letter.task == letters.DELIVERIES:
            session.add(Delivery(key=letter.subject, **letter.payload))
    return letter


def init_app(app: Flask) -> None:
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
    def sync() -> None:
        """Pull new readings from ThingSpeak, once; exit 1 when a node could not be synced."""
        sys.exit(0 if Jobs(app).sync_now() else 1)

    @app.cli.command("worker")
    def worker() -> None:
        """Sync and deliver until SIGTERM."""
        Jobs(app).work()

    @app.cli.group("jobs")
    def jobs() -> None:
        """Dead letters: work that failed for good."""

    @jobs.command("list")
    @click.option("--json", "as_json", is_flag=True, help="Everything about them, for scripts.")
    def list_letters(as_json: bool) -> None:
        """Show the dead letters, and how many deliveries wait."""
        with database().read() as session:
            found = session.scalars(select(DeadLetter).order_by(DeadLetter.id))
            rows = [{column: getattr(row, column) for column in SHOWN} for row in found]
            waiting, _ = notifications.backlog(session)
        if as_json:
            return click.echo(orjson.dumps({"dead_letters": rows, "deliveries_pending": waiting}))
        for row in rows:
            click.echo("{id}  {task} {subject}: {error} (attempts: {attempts}, {first_at:%F %T} to {last_at:%F %T} UTC)".format(**row))
        return click.echo(f"{len(rows)} dead letters, {waiting} deliveries wait")

    @jobs.command("retry")
    @click.argument("number", type=int)
    def retry(number: int) -> None:
        """Take a dead letter out, and try again what it is about."""
        letter = take_out(number, again=True)
        if letter.task == letters.SYNC:
            made = Jobs(app)
            made.ask(made.sync, letter.subject, expires=made.settings.sync_every)
        click.echo(f"{letter.task} {letter.subject} will be tried again")

    @jobs.command("drop")
    @click.argument("number", type=int)
    def drop(number: int) -> None:
        """Take a dead letter out; what it is about is lost."""
        letter = take_out(number, again=False)
        click.echo(f"dropped {letter.task} {letter.subject}")

    @app.cli.command("health")
    def health() -> None:
        """Print the checks as JSON; exit 1 when one fails."""
        body, status, _ = health_checks.answer({"database": health_checks.check_database()})
        click.echo(orjson.dumps(body))
        sys.exit(0 if status == 200 else 1)
