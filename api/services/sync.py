"""The sync of ThingSpeak channels into readings, resumable after any crash, without loss.

Each node has a cursor (SyncState.synced_until): the time up to which its channel has been stored.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.config import Settings
from api.models import Node, SyncState
from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs.leases import Lease
from api.platform.jobs.tasks import LeaseLost, Task, Unfinished
from api.platform.outbound.deadlines import DeadlineExceeded
from api.platform.telemetry import metrics
from api.services import readings, rejects
from api.services.entries import CONFLICT, Entry, reject, split_readings
from api.services.state import service_state
from api.services.thingspeak import SYNC_JOB, ThingSpeak

COMMIT_ROWS = 500  # short commits: SQLite has one write lock, which devices need, too
# Devices upload late, in bulk and with old times; storing a reading again has no effect.
OVERLAP = timedelta(hours=1)
BEGINNING = datetime(2010, 1, 1, tzinfo=UTC)  # ThingSpeak did not exist before


# Metrics of the catalogue.
STORED = "evara_job_stored_readings"
REACHED = "evara_job_reached_timestamp_seconds"


def new_task(settings: Settings) -> Task:
    """Return the task that syncs every node that has a channel."""
    return Task(
        name=SYNC_JOB,
        queue_name="sync",
        every=settings.sync_every,
        subjects=synced_node_ids,
        run=run,
        measure=measure,
    )


def run(node_id: str, lease: Lease) -> Iterator[int]:
    """Sync one node, and count and yield the readings that each commit stored."""
    for stored in sync_node(service_state().thingspeak, node_id, lease):
        metrics.REGISTRY.by_name[STORED].labels(SYNC_JOB).inc(stored)
        yield stored


def measure(session: Session) -> None:
    """Set since when every node is synced, and the cursor of the one furthest behind."""
    since = synced_since(session)
    if since:
        metrics.JOB_LAST_SUCCESS.labels(SYNC_JOB).set(since.timestamp())
    oldest_cursor = furthest_behind(session)
    if oldest_cursor:
        metrics.REGISTRY.by_name[REACHED].labels(SYNC_JOB).set(oldest_cursor.timestamp())


def synced_node_ids(session: Session) -> list[str]:
    """Return the ids of the nodes that have a channel."""
    query = select(Node.id).where(Node.channel_id.is_not(None)).order_by(Node.id)
    return list(session.scalars(query))


def synced_since(session: Session) -> datetime | None:
    """Return the time since when every node is synced; None while one has never been."""
    unfinished = func.count() - func.count(SyncState.finished_at)
    query = (
        select(unfinished, func.min(SyncState.finished_at))
        .select_from(Node)
        .outerjoin(SyncState)
        .where(Node.channel_id.is_not(None))
    )
    never_synced, oldest = session.execute(query).one()
    if never_synced:
        return None
    return oldest or now()


def furthest_behind(session: Session) -> datetime | None:
    """Return the oldest cursor; None before the first reading."""
    oldest_cursor = func.min(SyncState.synced_until)
    return session.scalar(select(oldest_cursor).where(SyncState.synced_until > BEGINNING))


def sync_node(client: ThingSpeak, node_id: str, lease: Lease) -> Iterator[int]:
    """Store the new readings of one node and yield after each commit how many it stored.

    The cursor moves with each commit, so a crash repeats at most one. Raise ThingSpeakError,
    CallRefused, LeaseLost and Unfinished.
    """
    with database().read() as session:
        node = session.get(Node, node_id)
        state = session.get(SyncState, node_id)
    if node is None or node.channel_id is None:
        return  # deleted or changed since the job was queued
    start = state.synced_until if state else BEGINNING
    reached = start
    try:
        for feed in client.feeds(node.channel_id, node.channel_key, start - OVERLAP, now()):
            rejects.record(node.id, feed.rejects)
            entries = feed.entries
            for index in range(0, len(entries), COMMIT_ROWS):
                yield store_entries(node, entries[index : index + COMMIT_ROWS], lease)
            if entries:
                reached = entries[-1].time
    except DeadlineExceeded as error:
        if reached > start:
            raise Unfinished from error
        raise
    finish(node, lease)


def store_entries(node: Node, entries: list[Entry], lease: Lease) -> int:
    """Store entries and move the cursor in one transaction; return the number of new readings.

    Store nothing when the node was deleted or its channel or fields were changed.
    """
    rows, rejected = split_readings(entries, node.fields)
    stored = 0
    with database().write() as session:
        renew_lease(session, lease)
        current = lock_unchanged(session, node)
        if current is None:
            return 0
        if rows:
            outcome = readings.insert(session, current, rows)
            stored = outcome.stored
            rejected += [reject(row, CONFLICT) for row in outcome.conflicts]
        cursor = max(cursor_of(session, node.id), entries[-1].time)
        session.merge(SyncState(node_id=node.id, synced_until=cursor))
    rejects.record(node.id, rejected)
    return stored


def finish(node: Node, lease: Lease) -> None:
    """Record that the node was synced to its channel's end."""
    with database().write() as session:
        renew_lease(session, lease)
        if lock_unchanged(session, node):
            cursor = cursor_of(session, node.id)
            session.merge(SyncState(node_id=node.id, synced_until=cursor, finished_at=now()))


def renew_lease(session: Session, lease: Lease) -> None:
    """Renew the lease; raise LeaseLost, so that nothing is committed, when it is lost."""
    if not lease.renew(session):
        raise LeaseLost(lease.name)


def lock_unchanged(session: Session, node: Node) -> Node | None:
    """Return the node, locked until the session ends; None when its channel or fields changed."""
    # FOR NO KEY UPDATE: devices can still store readings of the node.
    current = session.get(Node, node.id, with_for_update={"key_share": True})
    if current is None or current.source != node.source:
        return None
    return current


def cursor_of(session: Session, node_id: str) -> datetime:
    """Return the time up to which the node's channel has been stored."""
    state = session.get(SyncState, node_id)
    return state.synced_until if state else BEGINNING
