"""Dead letters: jobs that failed permanently, one row per job and subject."""

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from api.platform import wire
from api.platform.clock import now
from api.platform.db import insert_into
from api.platform.state import app_state
from api.platform.tables import DeadLetter
from api.platform.types import JsonObject

MAX_ERROR_LENGTH = 300  # characters; the column holds no more


def record(
    session: Session,
    task: str,
    subject: str,
    error: str,
    attempts: int,
    payload: JsonObject,
) -> None:
    """Write the dead letter; when there is one already, update its error and add the attempts."""
    time = now()
    statement = insert_into(session, DeadLetter).values(
        task=task,
        subject=subject,
        error=wire.printable(error)[:MAX_ERROR_LENGTH],
        attempts=attempts,
        payload=payload,
        first_at=time,
        last_at=time,
    )
    new = statement.excluded
    update = {
        "error": new.error,
        "last_at": new.last_at,
        "attempts": DeadLetter.attempts + new.attempts,
    }
    session.execute(
        statement.on_conflict_do_update(index_elements=["task", "subject"], set_=update)
    )


def resolve(session: Session, task: str, subject: str) -> None:
    """Delete the dead letter, if there is one: the job succeeded or is no longer needed."""
    session.execute(
        delete(DeadLetter).where(DeadLetter.task == task, DeadLetter.subject == subject)
    )


def counts(session: Session) -> dict[str, int]:
    """Return the number of dead letters of each job, also of the registered ones without any."""
    query = select(DeadLetter.task, func.count()).group_by(DeadLetter.task)
    stored = session.execute(query).all()
    return dict.fromkeys(app_state().job_names, 0) | dict(stored)
