"""Leases in the database: one worker per job, and another one soon after it was killed.

Every worker renews its leases with renew(). A stalled worker finds at its next commit that its
lease is gone (Lease.renew).
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from api.platform.clock import now
from api.platform.db import database, insert_into
from api.platform.state import app_state
from api.platform.tables import Lease as LeaseRow

SCHEDULER = "scheduler"  # lease of the worker that leads
HELD_OWNERS: set[str] = set()  # owners of this process's leases


@dataclass(frozen=True)
class Lease:
    """The exclusive right to do one job; each acquisition has an owner id of its own."""

    name: str
    owner: str

    def renew(self, session: Session) -> bool:
        """Extend the lease in the session's transaction.

        Return False when it is lost; the caller must then not commit.
        """
        statement = (
            update(LeaseRow)
            .where(LeaseRow.name == self.name, LeaseRow.owner == self.owner)
            .values(until=expiry())
            .returning(LeaseRow.name)
        )
        return session.execute(statement).first() is not None


def expiry() -> datetime:
    """Return the time at which a lease that is taken or renewed now expires."""
    return now() + timedelta(seconds=app_state().settings.lease_seconds)


def acquire(name: str) -> Lease | None:
    """Return a new lease, or None while another owner holds one that has not expired."""
    lease = Lease(name, uuid.uuid4().hex)
    with database().write() as session:
        statement = insert_into(session, LeaseRow).values(
            name=name, owner=lease.owner, until=expiry()
        )
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"owner": new.owner, "until": new.until},
            where=LeaseRow.until <= now(),
        ).returning(LeaseRow.name)
        if session.execute(statement).first() is None:
            return None
    HELD_OWNERS.add(lease.owner)
    return lease


def renew() -> set[str]:
    """Extend all leases of this process and return the owner ids of those that it still holds."""
    if not HELD_OWNERS:
        return set()
    statement = (
        update(LeaseRow)
        .where(LeaseRow.owner.in_(list(HELD_OWNERS)))
        .values(until=expiry())
        .returning(LeaseRow.owner)
    )
    with database().write() as session:
        return set(session.scalars(statement))


def release(lease: Lease) -> None:
    """Delete the lease, so that another worker can acquire it at once."""
    HELD_OWNERS.discard(lease.owner)
    with database().write() as session:
        session.execute(delete(LeaseRow).where(LeaseRow.owner == lease.owner))


@contextmanager
def hold(name: str) -> Iterator[Lease | None]:
    """Hold the lease during a block; yield None when another worker has it."""
    lease = acquire(name)
    try:
        yield lease
    finally:
        if lease:
            release(lease)


class Leadership:
    """The scheduler's lease, which one worker holds; another acquires it when it expires."""

    def __init__(self, renew_seconds: float):
        self.lease: Lease | None = None
        self.renew_at = 0.0  # monotonic seconds
        self._renew_seconds = renew_seconds

    def is_held(self) -> bool:
        """Return whether this worker leads; renew all of its leases when it is time to."""
        if time.monotonic() >= self.renew_at:
            held_owners = renew()  # if this raises, the next call tries again
            if self.lease is None or self.lease.owner not in held_owners:
                self.lease = acquire(SCHEDULER)
            self.renew_at = time.monotonic() + self._renew_seconds
        return self.lease is not None

    def release(self) -> None:
        """Let another worker lead at once."""
        if self.lease:
            release(self.lease)
