"""Pulls what is new from ThingSpeak into readings; resumable after any crash, without loss and without doubles."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from api.db import database
from api.models import Node, SyncState, now
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


def sync_all(client: ThingSpeak) -> Outcome:
    """Every node that has a channel; one that fails does not stop the others."""
    with database().read() as session:
        nodes = session.scalars(select(Node).where(Node.channel_id.is_not(None)).order_by(Node.id)).all()
    stored, failed = 0, []
    for node in nodes:
        try:
            stored += sync_node(client, node)
        except ThingSpeakError as error:
            failed.append(node.id)
            log.warning("sync failed", extra={"node": node.id, "error": str(error)})
    return Outcome(len(nodes), stored, tuple(failed))


def sync_node(client: ThingSpeak, node: Node) -> int:
    """New readings of one node stored; the mark moves with each commit, so a crash repeats at most one commit."""
    with database().read() as session:
        state = session.get(SyncState, node.id)
    start = state.synced_until - OVERLAP if state else BEGINNING
    stored = 0
    for entries in client.feeds(node.channel_id or 0, node.channel_key, start, now()):
        for index in range(0, len(entries), COMMIT_ROWS):
            stored += commit(node, entries[index : index + COMMIT_ROWS])
    with database().write() as session:
        if session.get(Node, node.id):
            session.merge(SyncState(node_id=node.id, synced_until=mark(session, node.id, None), finished_at=now()))
    return stored


def commit(node: Node, entries: list[Entry]) -> int:
    """Stores entries and moves the mark, both or neither; a node deleted meanwhile stores nothing."""
    rows = [
        {"metric": metric, "time": entry.time, "value": entry.fields[field]}
        for entry in entries
        for field, metric in node.fields.items()
        if field in entry.fields
    ]
    with database().write() as session:
        if session.get(Node, node.id) is None:
            return 0
        stored = readings.insert(session, node.id, rows)["stored"] if rows else 0
        session.merge(SyncState(node_id=node.id, synced_until=mark(session, node.id, entries[-1].time)))
    return stored


def mark(session: Any, node_id: str, reached: datetime | None) -> datetime:
    """The later of the stored mark and `reached`: overlap re-reads old entries and must not move it back."""
    state = session.get(SyncState, node_id)
    known = [moment for moment in (state and state.synced_until, reached) if moment]
    return max(known, default=BEGINNING)
