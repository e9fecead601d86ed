"""The sync of ThingSpeak channels into readings, resumable after any crash, without loss.

A run reads the channel from the node's cursor, the time of its newest entry, to the end. The ids of
entries follow their arrival; when some are missing, entries with older times arrived late, and
the run looks back for them. docs/adr/0026-late-uploads.md has the reasons.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.config import Settings
from api.models import Node, SyncState
from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs.leases import Lease
from api.platform.jobs.tasks import Task, Unfinished
from api.platform.outbound.deadlines import DeadlineExceeded
from api.platform.telemetry import metrics
from api.services import entry_ids, limits, readings, rejects
from api.services.entries import CONFLICT, Entry, reject, split_readings
from api.services.state import service_state
from api.services.sync_state import (
    BEGINNING,
    EARLIEST,
    account_for,
    end_search,
    is_cleared,
    lock,
    move_cursor,
    move_search,
    start_over,
    state_of,
)
from api.services.thingspeak import SECOND, SYNC_JOB, Page, ThingSpeak

COMMIT_ROWS = 500  # short commits: SQLite has one write lock, which devices need, too
# What is a little late is read without looking back; storing a reading again has no effect.
OVERLAP = timedelta(hours=1)
FIRST_SPAN = timedelta(days=1)  # of looking back
# Wrong clocks tell times in between, such as 1970; servers may refuse to be asked for others.
FIRST_TIME = datetime(1970, 1, 1, tzinfo=UTC)
LAST_TIME = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
LOOK_BACK_PAGES = 10  # of one run; the next run goes on
log = logging.getLogger(__name__)


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

    The state moves with each commit, so a crash repeats at most one. Raise ThingSpeakError,
    CallRefused, LeaseLost and Unfinished.
    """
    with database().read() as session:
        node = session.get(Node, node_id)
    if node is None or node.channel_id is None:
        return  # deleted or changed since the job was queued
    before = state_of(node_id)
    latest = (now() + limits.MAX_AHEAD).replace(microsecond=0)
    try:
        yield from read_new(client, node, latest, lease)
        change(node, lease, finish)
        yield from read_implausible(client, node, latest, lease)
        yield from look_back(client, node, lease)
    except DeadlineExceeded as error:
        after = state_of(node_id)
        if (after.synced_until, after.finished_at) != (before.synced_until, before.finished_at):
            raise Unfinished from error
        raise


def read_new(client: ThingSpeak, node: Node, latest: datetime, lease: Lease) -> Iterator[int]:
    """Store the entries from shortly before the cursor to the latest time that is accepted."""
    state = state_of(node.id)
    start = state.synced_until - OVERLAP
    for page in client.feeds(node.channel_id or 0, node.channel_key, start, latest):
        if is_cleared(state, page):
            log.warning("the channel was cleared: its sync starts over", extra={"subject": node.id})
            change(node, lease, start_over)
            yield from read_new(client, node, latest, lease)
            return
        yield from store_page(node, page, page.feed.entries, lease)


def read_implausible(
    client: ThingSpeak, node: Node, latest: datetime, lease: Lease
) -> Iterator[int]:
    """Reject the entries with missing ids whose times are beyond the limits.

    A clock that stays wrong costs one or two requests in each run, and no search.
    """
    spans = [(latest + SECOND, LAST_TIME), (FIRST_TIME, limits.EARLIEST - SECOND)]
    for first, last in spans:
        missing = state_of(node.id).missing
        if not missing:
            return
        page = client.page(node.channel_id or 0, node.channel_key, first, last)
        yield from store_page(node, page, entries_of(page, missing), lease)
        change(node, lease, end_search)


def entries_of(page: Page, ids: entry_ids.Ranges) -> list[Entry]:
    """Return the entries of a page that have these ids."""
    return [entry for entry in page.feed.entries if entry_ids.contains(ids, entry.id)]


def look_back(client: ThingSpeak, node: Node, lease: Lease) -> Iterator[int]:
    """Search older times for the missing ids, newest first, and store their entries.

    The search ends when every id was found, or at the earliest time. The next run then searches
    once more for those that are still missing. A run reads a few pages; the next run continues.
    """
    missing = state_of(node.id).missing
    if not missing:
        return
    stored = 0
    for page in islice(older_pages(client, node), LOOK_BACK_PAGES):
        for new in store_page(node, page, entries_of(page, missing), lease):
            stored += new
            yield new
        change(node, lease, partial(move_search, searched_from=page.first))
        state = state_of(node.id)
        missing = state.missing
        if not missing:
            break
    unfound = entry_ids.count(state.missing or state.absent)
    fields = {"subject": node.id, "stored": stored, "missing": unfound}
    log.info("looked back for late entries", extra=fields)


def older_pages(client: ThingSpeak, node: Node) -> Iterator[Page]:
    """Yield the pages before the time from which on the channel has been searched."""
    while searched_from := state_of(node.id).searched_from:
        end = searched_from - SECOND
        # Most late entries are young: the first span is a day, and each is longer than the last.
        span = max(FIRST_SPAN, 3 * (now() - end))
        start = max(EARLIEST, end - span)
        yield from client.feeds(
            node.channel_id or 0, node.channel_key, start, end, newest_first=True
        )


def store_page(node: Node, page: Page, entries: list[Entry], lease: Lease) -> Iterator[int]:
    """Store entries of a page in short commits and yield how many readings each stored.

    A page without entries makes one commit: its last entry id counts, too.
    """
    rejects.record(node.id, page.feed.rejects)
    for index in range(0, len(entries) or 1, COMMIT_ROWS):
        yield store_entries(node, page, entries[index : index + COMMIT_ROWS], lease)


def store_entries(node: Node, page: Page, entries: list[Entry], lease: Lease) -> int:
    """Store entries and update the state in one transaction; return the number of new readings.

    Store nothing when the node was deleted or its channel or fields were changed.
    """
    rows, rejected = split_readings(entries, node.fields)
    stored = 0
    with database().write() as session:
        locked = lock(session, node, lease)
        if locked is None:
            return 0
        if rows:
            outcome = readings.insert(session, locked.node, rows)
            stored = outcome.stored
            rejected += [reject(row, CONFLICT) for row in outcome.conflicts]
        account_for(locked.state, page, entries)
        move_cursor(locked.state, entries)
    rejects.record(node.id, rejected)
    return stored


def finish(state: SyncState) -> None:
    """Note that the node was synced to its channel's end."""
    state.finished_at = now()
    end_search(state)


def change(node: Node, lease: Lease, apply: Callable[[SyncState], None]) -> None:
    """Change the state in a transaction, unless the node's channel or fields changed."""
    with database().write() as session:
        if locked := lock(session, node, lease):
            apply(locked.state)
