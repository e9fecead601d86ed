"""Pulls what is new from ThingSpeak into readings; resumable after any crash, without loss and without doubles."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.models import Node, SyncState, now
from api.platform.db import database
from api.platform.jobs.leases import Lease
from api.platform.outbound.guarded_calls import DeadlineExceeded
from api.services import readings
from api.services.thingspeak import Entry, ThingSpeak

COMMIT_ROWS = 500  # a commit holds SQLite's only write lock; devices must get their turn in between
OVERLAP = timedelta(
    hours=1
)  # devices upload late in bulk with old times; storing twice changes nothing
BEGINNING = datetime(2010, 1, 1, tzinfo=UTC)  # ThingSpeak did not exist before


class Lost(Exception):
    """Another worker has the node's lease: this one was halted for too long, and must not go on."""


class Unfinished(Exception):
    """The time was over before the channel's end, but the mark has moved: the next run goes on from there."""


def nodes(session: Session) -> list[str]:
    """Ids of the nodes that have a channel."""
    return list(
        session.scalars(select(Node.id).where(Node.channel_id.is_not(None)).order_by(Node.id))
    )


def reached(session: Session) -> tuple[datetime | None, datetime | None]:
    """(since when every node is synced at least, or None while one never was; newest reading of the node that is furthest behind)."""
    query = select(
        func.count() - func.count(SyncState.finished_at), func.min(SyncState.finished_at)
    )
    never, oldest = session.execute(
        query.select_from(Node).outerjoin(SyncState).where(Node.channel_id.is_not(None))
    ).one()
    furthest = session.scalar(
        select(func.min(SyncState.synced_until)).where(SyncState.synced_until > BEGINNING)
    )
    return None if never else oldest or now(), furthest


def sync_node(client: ThingSpeak, node_id: str, lease: Lease) -> Iterator[int]:
    """Stores the new readings of one node and says after each commit how many; raises ThingSpeakError, Refused, Lost and Unfinished.

    The mark moves with each commit, so a crash repeats at most one commit.
    """
    with database().read() as session:
        node, state = session.get(Node, node_id), session.get(SyncState, node_id)
    if node is None or node.channel_id is None:
        return  # deleted or changed since it was asked for
    begun_at = reached = state.synced_until if state else BEGINNING
    try:
        for entries in client.feeds(node.channel_id, node.channel_key, begun_at - OVERLAP, now()):
            for index in range(0, len(entries), COMMIT_ROWS):
                yield commit(node, entries[index : index + COMMIT_ROWS], lease)
            reached = entries[-1].time
    except DeadlineExceeded as error:
        if reached > begun_at:
            raise Unfinished from error
        raise
    with database().write() as session:
        keep(session, lease)
        if is_same(session, node):
            session.merge(
                SyncState(
                    node_id=node.id, synced_until=mark(session, node.id, None), finished_at=now()
                )
            )


def commit(node: Node, entries: list[Entry], lease: Lease) -> int:
    """Stores entries and moves the mark, both or neither; a node deleted or changed meanwhile stores nothing."""
    rows = [row for entry in entries for row in entry.readings(node.fields)]
    with database().write() as session:
        keep(session, lease)
        current = is_same(session, node)
        if not current:
            return 0
        stored = readings.insert(session, current, rows)["stored"] if rows else 0
        session.merge(
            SyncState(node_id=node.id, synced_until=mark(session, node.id, entries[-1].time))
        )
    return stored


def keep(session: Session, lease: Lease) -> None:
    """Renews the lease; raises Lost, so that nothing is committed, when it is another's."""
    if not lease.renew(session):
        raise Lost(lease.name)


def is_same(session: Session, node: Node) -> Node | None:
    """The node, if its readings still come from where this sync takes them; nobody changes it until the session ends."""
    current = session.get(
        Node, node.id, with_for_update={"key_share": True}
    )  # FOR NO KEY UPDATE: devices go on storing
    return current if current is not None and current.source == node.source else None


def mark(session: Session, node_id: str, reached: datetime | None) -> datetime:
    """The later of the stored mark and `reached`: overlap re-reads old entries and must not move it back."""
    state = session.get(SyncState, node_id)
    known = [moment for moment in (state and state.synced_until, reached) if moment]
    return max(known, default=BEGINNING)
