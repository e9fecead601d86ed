"""The state of a node's sync: which entries of its channel the node has, by time and by id."""

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from api.models import Node, SyncState
from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs.leases import Lease
from api.platform.jobs.tasks import LeaseLost
from api.services import entry_ids
from api.services.entries import Entry
from api.services.thingspeak import Page

BEGINNING = datetime(2010, 1, 1, tzinfo=UTC)  # the first cursor; ThingSpeak did not exist before
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # the time of devices whose clock was never set


class Locked(NamedTuple):
    """A node and the state of its sync, locked until the session ends."""

    node: Node
    state: SyncState


def lock(session: Session, node: Node, lease: Lease) -> Locked | None:
    """Renew the lease and lock the node; None when its channel or fields changed.

    Raise LeaseLost, so that nothing is committed, when the lease is lost.
    """
    if not lease.renew(session):
        raise LeaseLost(lease.name)
    current = lock_unchanged(session, node)
    if current is None:
        return None
    state = session.get(SyncState, node.id) or new_state(node.id)
    session.add(state)
    return Locked(current, state)


def lock_unchanged(session: Session, node: Node) -> Node | None:
    """Return the node, locked until the session ends; None when its channel or fields changed."""
    # FOR NO KEY UPDATE: devices can still store readings of the node.
    current = session.get(Node, node.id, with_for_update={"key_share": True})
    if current is None or current.source != node.source:
        return None
    return current


def state_of(node_id: str) -> SyncState:
    """Return the state of a node's sync."""
    with database().read() as session:
        return session.get(SyncState, node_id) or new_state(node_id)


def new_state(node_id: str) -> SyncState:
    """Return the state before the first entry."""
    state = SyncState(node_id=node_id)
    start_over(state)
    return state


def is_cleared(state: SyncState, page: Page) -> bool:
    """Return whether the ids of the channel began again: the entry at the cursor is gone."""
    tells_last_id = page.feed.last_entry_id is not None
    if tells_last_id and page.feed.highest_id < state.known_id:
        return True
    if state.cursor_id is None or not page.covers(state.synced_until):
        return False
    cursor = (state.synced_until, state.cursor_id)
    return cursor not in {(entry.time, entry.id) for entry in page.feed.entries}


def account_for(state: SyncState, page: Page, entries: list[Entry]) -> None:
    """Note in the state that the entries of the page were read."""
    if state.searched_from is None:
        # A search begins. Its ids are those given so far: later ones may have times that it passed.
        last_id = max(state.known_id, page.feed.highest_id)
        state.missing = [*state.absent, *entry_ids.between(state.known_id + 1, last_id)]
        state.known_id = last_id
        state.searched_from = page.first
    state.missing = entry_ids.without(state.missing, [entry.id for entry in entries])


def move_cursor(state: SyncState, entries: list[Entry]) -> None:
    """Move the cursor to the newest of the entries, unless its time has not come yet."""
    current_time = now()
    past = [(entry.time, entry.id) for entry in entries if entry.time <= current_time]
    cursor = (state.synced_until, state.cursor_id or 0)
    newest = max(past, default=cursor)
    if newest > cursor:
        state.synced_until, state.cursor_id = newest


def move_search(state: SyncState, searched_from: datetime) -> None:
    """Note that the channel was searched for missing ids from a time on."""
    state.searched_from = searched_from
    absent: entry_ids.Ranges = []
    if searched_from <= EARLIEST:
        # A channel may show an entry later than its id. What two searches did not find does not
        # exist.
        searched_before = max((last for _, last in state.absent), default=0)
        absent = entry_ids.above(state.missing, searched_before)
        state.missing = []
    end_search(state, absent)


def end_search(state: SyncState, absent: entry_ids.Ranges | None = None) -> None:
    """End the search if no id is missing; the next run searches for the absent ones again."""
    if not state.missing:
        state.searched_from = None
        state.absent = absent or []


def start_over(state: SyncState) -> None:
    """Reset the state, but for the time of the last success."""
    state.synced_until = BEGINNING
    state.cursor_id = None
    state.known_id = 0
    state.missing = []
    state.searched_from = None
    state.absent = []
