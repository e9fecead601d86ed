"""Pulls what is new from ThingSpeak into readings; resumable after any crash, without loss and without doubles."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.breaker import Refused
from api.db import database
from api.models import Node, SyncState, now
from api.resilience import deadline
from api.services import readings
from api.services.thingspeak import Entry, ThingSpeak, ThingSpeakError

COMMIT_ROWS = 500  # a commit holds SQLite's only write lock; devices must get their turn in between
OVERLAP = timedelta(hours=1)  # devices upload late in bulk with old times; storing twice changes nothing
BEGINNING = datetime(2010, 1, 1, tzinfo=UTC)  # ThingSpeak did not exist before
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What one sync did."""

    nodes: int
    stored: int
    failed: tuple[str, ...]  # ids of nodes that could not be synced
    reached: datetime | None = field(default=None, compare=False)  # newest reading of the node that is furthest behind


def sync_all(client: ThingSpeak) -> Outcome:
    """Every node that has a channel; one that fails does not stop the others, a ThingSpeak that is not to be asked does."""
    with deadline(current_app.extensions["evara_settings"].job_deadline):
        return sync_each(client)


def sync_each(client: ThingSpeak) -> Outcome:
    with database().read() as session:
        nodes = session.scalars(select(Node).where(Node.channel_id.is_not(None)).order_by(Node.id)).all()
    stored, failed = 0, []
    for index, node in enumerate(nodes):
        try:
            for fresh in sync_node(client, node):
                stored += fresh
        except ThingSpeakError as error:
            failed.append(node.id)
            log.warning("sync failed", extra={"node": node.id, "error": str(error)})
        except Refused as error:
            failed += [other.id for other in nodes[index:]]
            log.warning("sync cut short", extra={"nodes": len(nodes) - index, "error": str(error)})
            break
    with database().read() as session:
        reached = session.scalar(select(func.min(SyncState.synced_until)).where(SyncState.synced_until > BEGINNING))
    return Outcome(len(nodes), stored, tuple(failed), reached)


def sync_node(client: ThingSpeak, node: Node) -> Iterator[int]:
    """Stores the new readings of one node and says after each commit how many.

    The mark moves with each commit, so a crash repeats at most one commit.
    """
    with database().read() as session:
        state = session.get(SyncState, node.id)
    start = state.synced_until - OVERLAP if state else BEGINNING
    for entries in client.feeds(node.channel_id or 0, node.channel_key, start, now()):
        for index in range(0, len(entries), COMMIT_ROWS):
            yield commit(node, entries[index : index + COMMIT_ROWS])
    with database().write() as session:
        if is_same(session, node):
            session.merge(SyncState(node_id=node.id, synced_until=mark(session, node.id, None), finished_at=now()))


def commit(node: Node, entries: list[Entry]) -> int:
    """Stores entries and moves the mark, both or neither; a node deleted or changed meanwhile stores nothing."""
    rows = [
        {"metric": metric, "time": entry.time, "value": entry.fields[field]}
        for entry in entries
        for field, metric in node.fields.items()
        if field in entry.fields
    ]
    with database().write() as session:
        if not is_same(session, node):
            return 0
        stored = readings.insert(session, node.id, rows)["stored"] if rows else 0
        session.merge(SyncState(node_id=node.id, synced_until=mark(session, node.id, entries[-1].time)))
    return stored


def is_same(session: Session, node: Node) -> bool:
    """The node is still there, and its readings still come from where this sync takes them."""
    current = session.get(Node, node.id)
    return current is not None and current.source == node.source


def mark(session: Session, node_id: str, reached: datetime | None) -> datetime:
    """The later of the stored mark and `reached`: overlap re-reads old entries and must not move it back."""
    state = session.get(SyncState, node_id)
    known = [moment for moment in (state and state.synced_until, reached) if moment]
    return max(known, default=BEGINNING)
