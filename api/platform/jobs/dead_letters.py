"""Dead letters: work that failed for good, one per task and subject; it imports the database alone."""

from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from api.models import DeadLetter, now
from api.platform.db import insert_into

SYNC, DELIVERIES = "thingspeak.sync", "alarms.deliver"  # tasks
LONGEST = 300  # characters of an error that are kept


def bury(
    session: Session,
    task: str,
    subject: str,
    error: str,
    attempts: int,
    payload: dict[str, Any] | None = None,
) -> None:
    """Writes the letter, or the new error and the further attempts into the one that is there."""
    values = {
        "task": task,
        "subject": subject,
        "error": error[:LONGEST],
        "attempts": attempts,
        "payload": payload or {},
    }
    made = insert_into(session, DeadLetter).values(values | {"first_at": now(), "last_at": now()})
    again = {
        "error": made.excluded.error,
        "last_at": made.excluded.last_at,
        "attempts": DeadLetter.attempts + made.excluded.attempts,
    }
    session.execute(made.on_conflict_do_update(index_elements=["task", "subject"], set_=again))


def resolve(session: Session, task: str, subject: str) -> None:
    """The work has succeeded, or nobody wants it any more."""
    session.execute(
        delete(DeadLetter).where(DeadLetter.task == task, DeadLetter.subject == subject)
    )


def counts(session: Session) -> dict[str, int]:
    """Letters by task, with a zero for tasks that have none."""
    found = session.execute(
        select(DeadLetter.task, func.count().label("number")).group_by(DeadLetter.task)
    )
    return {SYNC: 0, DELIVERIES: 0} | {row.task: row.number for row in found}
