"""Leases: who works on what, in the database, so that no two workers do the same and a killed one blocks nobody for long.

Every worker renews what it holds (renew); who was halted for too long learns at its next commit that another took over (Lease.keep).
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from api import models
from api.config import settings
from api.models import now
from api.platform.db import database, insert_into

HELD: set[str] = set()  # owners of this process's leases


@dataclass(frozen=True)
class Lease:
    """What one piece of work holds; its owner is nobody else's, not even within the process."""

    name: str
    owner: str

    def keep(self, session: Session) -> bool:
        """Renews within the session's transaction; False when another has it, and what was done is not to be committed."""
        mine = models.Lease.name == self.name, models.Lease.owner == self.owner
        return bool(
            session.execute(
                update(models.Lease)
                .where(*mine)
                .values(until=ending())
                .returning(models.Lease.name)
            ).all()
        )


def ending() -> datetime:
    return now() + timedelta(seconds=settings().lease_seconds)


def take(name: str) -> Lease | None:
    """The lease, if nobody holds it or its time is over."""
    lease = Lease(name, uuid.uuid4().hex)
    with database().write() as session:
        wanted = insert_into(session, models.Lease).values(
            name=name, owner=lease.owner, until=ending()
        )
        free = wanted.on_conflict_do_update(
            index_elements=["name"],
            set_={"owner": wanted.excluded.owner, "until": wanted.excluded.until},
            where=models.Lease.until <= now(),
        )
        if not session.execute(free.returning(models.Lease.name)).all():
            return None
    HELD.add(lease.owner)
    return lease


def renew() -> set[str]:
    """Prolongs everything that this process holds; the owners that still hold."""
    held = update(models.Lease).where(models.Lease.owner.in_(list(HELD))).values(until=ending())
    with database().write() as session:
        return set(session.scalars(held.returning(models.Lease.owner))) if HELD else set()


def release(lease: Lease) -> None:
    HELD.discard(lease.owner)
    with database().write() as session:
        session.execute(delete(models.Lease).where(models.Lease.owner == lease.owner))


@contextmanager
def held(name: str) -> Iterator[Lease | None]:
    """The lease for a block; None when another has it."""
    lease = take(name)
    try:
        yield lease
    finally:
        if lease:
            release(lease)
