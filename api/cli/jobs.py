"""`flask --app api.app jobs`: list, retry and drop dead letters."""

import click
import orjson
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import select

from api.jobs import Jobs
from api.models import DeadLetter, Delivery
from api.platform.db import database
from api.platform.jobs import dead_letters
from api.services import notifications

SHOWN = ("id", "task", "subject", "error", "attempts", "first_at", "last_at", "payload")


def take_out(number: int, *, again: bool) -> DeadLetter:
    """Removes a dead letter; `again` puts a delivery back into the outbox with its key, by which a receiver knows it."""
    with database().write() as session:
        letter = session.get(DeadLetter, number)
        if letter is None:
            raise click.ClickException(
                f"there is no dead letter {number}; see: flask --app api.app jobs list"
            )
        session.delete(letter)
        if again and letter.task == dead_letters.DELIVERIES:
            session.add(Delivery(key=letter.subject, **letter.payload))
    return letter


group = AppGroup("jobs", help="Dead letters: work that failed for good.")


@group.command("list")
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
        click.echo(
            "{id}  {task} {subject}: {error} (attempts: {attempts}, {first_at:%F %T} to {last_at:%F %T} UTC)".format(
                **row
            )
        )
    return click.echo(f"{len(rows)} dead letters, {waiting} deliveries wait")


@group.command("retry")
@click.argument("number", type=int)
def retry(number: int) -> None:
    """Take a dead letter out, and try again what it is about."""
    letter = take_out(number, again=True)
    if letter.task == dead_letters.SYNC:
        made = Jobs(current_app)
        made.ask(made.sync, letter.subject, expires=made.settings.sync_every)
    click.echo(f"{letter.task} {letter.subject} will be tried again")


@group.command("drop")
@click.argument("number", type=int)
def drop(number: int) -> None:
    """Take a dead letter out; what it is about is lost."""
    letter = take_out(number, again=False)
    click.echo(f"dropped {letter.task} {letter.subject}")
