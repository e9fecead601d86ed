"""The sync: it is complete, stores each reading once, resumes, and requires the lease."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest
import stamina
from flask import Flask

from api.models import Node, Reading, SyncState
from api.platform.db import database
from api.platform.jobs import leases
from api.platform.tables import Lease
from api.services import nodes, sync
from api.services.thingspeak import TIME_FORMAT, ThingSpeak, ThingSpeakError

COUNT = 1_200  # three commits
FIRST = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=COUNT + 300)
Stored = set[tuple[str, str, datetime, float]]


class Channels:
    """A ThingSpeak with entries a minute apart, failing channels, and a record of requests."""

    def __init__(self) -> None:
        entries = [(FIRST + timedelta(minutes=minute), float(minute)) for minute in range(COUNT)]
        self.entries = {1: entries, 2: entries[:10], 3: entries[:20]}
        self.status: dict[int, int] = {}
        self.requests: list[tuple[int, datetime]] = []
        self.before: Callable[[int], Any] = lambda _: None

    def answer(self, request: httpx.Request) -> httpx.Response:
        channel = int(request.url.path.split("/")[2])
        first, last = (
            datetime.strptime(request.url.params[key], TIME_FORMAT).replace(tzinfo=UTC)
            for key in ("start", "end")
        )
        self.requests.append((channel, first))
        self.before(channel)
        if channel in self.status:
            return httpx.Response(self.status[channel])
        feeds = [
            {
                "created_at": moment.isoformat(),
                "entry_id": int(moment.timestamp()),
                "field1": str(value),
                "field2": None,
            }
            for moment, value in self.entries[channel]
            if first <= moment <= last
        ]
        return httpx.Response(200, json={"channel": {}, "feeds": feeds})


@pytest.fixture
def upstream() -> Channels:
    return Channels()


@pytest.fixture
def thingspeak(upstream: Channels, app: Flask) -> Iterator[ThingSpeak]:
    """Yield a client of `upstream`, with three nodes that have a channel and one without."""
    with app.app_context(), stamina.set_testing(True, attempts=2):
        for channel in (1, 2, 3):
            fields = {"field1": "flow", "field2": "level"}
            nodes.create(
                {
                    "id": f"n{channel}",
                    "name": "N",
                    "kind": "flow_meter",
                    "channel_id": channel,
                    "fields": fields,
                }
            )
        nodes.create({"id": "no-channel", "name": "N", "kind": "flow_meter"})
        client = ThingSpeak("http://upstream.invalid", 1, httpx.MockTransport(upstream.answer))
        yield client


class Outcome(NamedTuple):
    """The result of one sync of all nodes."""

    nodes: int
    stored: int
    failed: tuple[str, ...]


def sync_all(client: ThingSpeak) -> Outcome:
    """Sync every node once, each under its lease, as a worker does."""
    with database().read() as session:
        node_ids = sync.synced_node_ids(session)
    stored, failed = 0, []
    for node_id in node_ids:
        with leases.hold(node_id) as lease:
            assert lease
            try:
                for fresh in sync.sync_node(client, node_id, lease):
                    stored += fresh
            except ThingSpeakError:
                failed.append(node_id)
    return Outcome(len(node_ids), stored, tuple(failed))


def oldest_cursor() -> datetime | None:
    with database().read() as session:
        return sync.furthest_behind(session)


def synced_since() -> datetime | None:
    with database().read() as session:
        return sync.synced_since(session)


def stored() -> Stored:
    with database().read() as session:
        return {(r.node_id, r.metric, r.time, r.value) for r in session.query(Reading)}


def expected(upstream: Channels, *channels: int) -> Stored:
    return {
        (f"n{channel}", "flow", moment, value)
        for channel in channels or (1, 2, 3)
        for moment, value in upstream.entries[channel]
    }


def test_second_sync_stores_nothing(thingspeak: ThingSpeak, upstream: Channels) -> None:
    """The first stores all entries; the second requests only the last hour."""
    first = sync_all(thingspeak)
    assert first == Outcome(3, COUNT + 30, ())
    assert oldest_cursor() == min(
        entries[-1][0] for entries in upstream.entries.values() if entries
    )
    assert stored() == expected(upstream)
    upstream.requests.clear()
    assert sync_all(thingspeak) == Outcome(3, 0, ())
    assert dict(upstream.requests)[1] == upstream.entries[1][-1][0] - sync.OVERLAP
    with database().read() as session:
        assert all(state.finished_at for state in session.query(SyncState))


class Crash(BaseException):
    """The end of a process that was killed."""


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("commits", [0, 1, 2, 3, 4])
def test_killed_sync_is_resumed(
    thingspeak: ThingSpeak,
    upstream: Channels,
    monkeypatch: pytest.MonkeyPatch,
    commits: int,
    after: bool,
) -> None:
    """The next run completes what an uninterrupted run stores."""
    commit, done = sync.store_entries, 0

    def killed(*arguments: Any) -> int:
        nonlocal done
        if done == commits and not after:
            raise Crash
        result = commit(*arguments)
        if done == commits:
            raise Crash
        done += 1
        return result

    with monkeypatch.context() as patch:
        patch.setattr(sync, "store_entries", killed)
        with pytest.raises(Crash):
            sync_all(thingspeak)
    stored_before = len(stored())
    assert stored_before < COUNT + 30 or (after and commits == 4)
    assert sync_all(thingspeak).stored == COUNT + 30 - stored_before
    assert stored() == expected(upstream)


def test_cursor_and_readings_are_committed_together(
    thingspeak: ThingSpeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash inside a commit stores neither."""
    monkeypatch.setattr(sync, "cursor_of", lambda *_: (_ for _ in ()).throw(Crash()))
    with pytest.raises(Crash):
        sync_all(thingspeak)
    with database().read() as session:
        assert (session.query(Reading).count(), session.query(SyncState).count()) == (0, 0)


def test_late_entry_is_stored(thingspeak: ThingSpeak, upstream: Channels) -> None:
    """The overlap of two runs contains it; the cursor does not move back."""
    sync_all(thingspeak)
    late = upstream.entries[1][-1][0] - timedelta(minutes=59, seconds=30)
    # The newest entries are gone; the cursor must not move back to the late one.
    upstream.entries[1] = [*upstream.entries[1][:-5], (late, 77.0)]
    with database().read() as session:
        before = session.get(SyncState, "n1").synced_until
    assert sync_all(thingspeak).stored == 1
    assert ("n1", "flow", late, 77.0) in stored()
    with database().read() as session:
        assert session.get(SyncState, "n1").synced_until == before


def test_node_deleted_during_its_sync_stores_nothing(
    thingspeak: ThingSpeak, upstream: Channels
) -> None:
    """The other nodes are synced."""
    upstream.before = lambda channel: nodes.delete("n1") if channel == 1 else None
    assert sync_all(thingspeak) == Outcome(3, 30, ())
    assert stored() == expected(upstream, 2, 3)
    with database().read() as session:
        assert session.get(SyncState, "n1") is None


def test_node_changed_during_its_sync_is_synced_again(
    thingspeak: ThingSpeak, upstream: Channels
) -> None:
    """The run stores no more of the old channel; the next run reads the new one."""
    changes = iter([{"channel_id": 3}])

    def change(channel: int) -> None:
        if channel == 1 and (values := next(changes, None)):
            nodes.update("n1", values)

    upstream.before = change
    assert sync_all(thingspeak).stored == 30
    assert sync_all(thingspeak).stored == 20
    assert {row[2:] for row in stored() if row[0] == "n1"} == set(upstream.entries[3])


def test_new_field_is_backfilled(thingspeak: ThingSpeak, upstream: Channels) -> None:
    """Its metric is stored from the beginning of the channel."""
    sync_all(thingspeak)
    nodes.update("n2", {"fields": {"field1": "discharge"}})
    assert sync_all(thingspeak).stored == 10
    assert {row[2:] for row in stored() if row[:2] == ("n2", "discharge")} == set(
        upstream.entries[2]
    )


def test_readings_stored_before_a_failure_are_counted(
    thingspeak: ThingSpeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel fails half-way."""
    pages = thingspeak.feeds

    def half(*arguments: Any) -> Iterator[Any]:
        yield from pages(*arguments)
        raise ThingSpeakError("gone")

    monkeypatch.setattr(thingspeak, "feeds", half)
    assert sync_all(thingspeak) == Outcome(3, COUNT + 30, ("n1", "n2", "n3"))


def test_node_without_fields_stores_nothing(thingspeak: ThingSpeak) -> None:
    """Its channel is read without an error."""
    with database().write() as session:
        for node_id in ("n2", "n3"):
            session.delete(session.get(Node, node_id))
        session.get(Node, "n1").fields = {}
    assert sync_all(thingspeak) == Outcome(1, 0, ())


def test_worker_that_lost_its_lease_commits_nothing(
    thingspeak: ThingSpeak, upstream: Channels
) -> None:
    """It stores no reading and moves no cursor."""
    with leases.hold("n1") as lease:
        assert lease
        pages = sync.sync_node(thingspeak, "n1", lease)
        assert next(pages) == sync.COMMIT_ROWS
        with database().write() as session:
            session.query(Lease).update({"owner": "another"})
        with pytest.raises(sync.LeaseLost):
            next(pages)
    assert len(stored()) == sync.COMMIT_ROWS
    assert oldest_cursor() == upstream.entries[1][sync.COMMIT_ROWS - 1][0]


def test_synced_since_is_the_oldest_success(thingspeak: ThingSpeak) -> None:
    """None until every node has had one."""
    assert synced_since() is None
    sync_all(thingspeak)
    before = synced_since()
    assert before
    with leases.hold("n1") as lease:
        assert lease
        assert list(sync.sync_node(thingspeak, "n1", lease)) == [0]
    assert synced_since() > before
    with database().write() as session:
        session.get(SyncState, "n3").finished_at = FIRST
    assert synced_since() == FIRST
    nodes.create({"id": "new", "name": "N", "kind": "flow_meter", "channel_id": 2})
    assert synced_since() is None


def test_sync_without_channels_is_up_to_date(app: Flask) -> None:
    """There is no work to do."""
    with app.app_context():
        nodes.create({"id": "no-channel", "name": "N", "kind": "flow_meter"})
        assert synced_since() is not None


def test_change_of_the_source_waits_for_the_commit(app: Flask, thingspeak: ThingSpeak) -> None:
    """Then it resets the cursor that the commit has moved."""
    assert thingspeak

    def change() -> None:
        with app.app_context():
            nodes.update("n1", {"fields": {"field1": "other"}})

    with database().read() as session:
        node = session.get(Node, "n1")
    changing = threading.Thread(target=change)
    with database().write() as session:
        assert sync.lock_unchanged(session, node)
        changing.start()
        changing.join(0.5)  # long enough for a change that does not wait
        session.merge(SyncState(node_id="n1", synced_until=FIRST))
    changing.join()
    with database().read() as session:
        assert session.get(SyncState, "n1") is None
        assert sync.lock_unchanged(session, node) is None
