"""`flask --app api.app jobs`: list, retry and drop dead letters."""

import click
import orjson
from flask import current_app
from sqlalchemy import String, cast, select

from api.platform.cli.errors import Group
from api.platform.db import database, insert_into
from api.platform.jobs import outbox
from api.platform.jobs.worker import Jobs
from api.platform.state import app_state
from api.platform.tables import DeadLetter, Delivery

COLUMNS = ("id", "task", "subject", "error", "attempts", "first_at", "last_at", "payload")
# A dead letter as people read it.
LINE = (
    "{id}  {task} {subject}: {error} "
    "(attempts: {attempts}, {first_at:%F %T} to {last_at:%F %T} UTC)"
)
group = Group("jobs", help="List, retry and drop dead letters: jobs that failed permanently.")


def remove(number: str, *, requeue: bool) -> DeadLetter:
    """Delete and return a dead letter; raise ClickException when there is none.

    With `requeue`, a delivery returns to the outbox with the same Idempotency-Key.
    """
    with database().write() as session:
        # The argument is compared as a text: Python would read 10 in `1_0`.
        query = select(DeadLetter).where(cast(DeadLetter.id, String) == number)
        letter = session.scalar(query)
        if letter is None:
            raise click.ClickException(
                f"there is no dead letter {number}; see: flask --app api.app jobs list"
            )
        session.delete(letter)
        if requeue and letter.task == app_state().delivery_job:
            columns = {"key": letter.subject, **letter.payload}
            session.execute(insert_into(session, Delivery.__table__).values(columns))
    return letter


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with all fields.")
def list_letters(as_json: bool) -> None:
    """List the dead letters, and the number of pending deliveries."""
    with database().read() as session:
        letters = session.scalars(select(DeadLetter).order_by(DeadLetter.id))
        rows = [{column: getattr(letter, column) for column in COLUMNS} for letter in letters]
        pending, _ = outbox.backlog(session)
    if as_json:
        click.echo(orjson.dumps({"dead_letters": rows, "deliveries_pending": pending}))
        return
    for row in rows:
        click.echo(LINE.format(**row))
    click.echo(f"{len(rows)} dead letters, {pending} deliveries pending")


@group.command("retry")
@click.argument("number")
def retry(number: str) -> None:
    """Delete a dead letter and retry its job."""
    letter = remove(number, requeue=True)
    runner = Jobs(current_app).runners.get(letter.task)
    if runner:
        runner.enqueue(letter.subject)
    click.echo(f"{letter.task} {letter.subject} will be retried")


@group.command("drop")
@click.argument("number")
def drop(number: str) -> None:
    """Delete a dead letter without a retry."""
    letter = remove(number, requeue=False)
    click.echo(f"dropped {letter.task} {letter.subject}")
