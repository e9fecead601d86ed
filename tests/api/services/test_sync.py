"""The synchronisation of nodes: whole, once, resumable, and nothing without the lease."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest
import stamina
from flask import Flask

from api.models import Lease, Node, Reading, SyncState
from api.platform.db import database
from api.platform.jobs import leases
from api.services import nodes, sync
from api.services.thingspeak import TIME_FORMAT, ThingSpeak, ThingSpeakError

COUNT = 1_200  # three commits
FIRST = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=COUNT + 300)
Stored = set[tuple[str, str, datetime, float]]


class Channels:
    """Upstream: channel → entries (time, value), one second apart in id; channels that fail; what
    was asked."""

    def __init__(self) -> None:
        entries = [(FIRST + timedelta(minutes=minute), float(minute)) for minute in range(COUNT)]
        self.entries = {1: entries, 2: entries[:10], 3: entries[:20]}
        self.status: dict[int, int] = {}
        self.asked: list[tuple[int, datetime]] = []
        self.before: Callable[[int], Any] = lambda _: None

    def answer(self, request: httpx.Request) -> httpx.Response:
        channel = int(request.url.path.split("/")[2])
        first, last = (
            datetime.strptime(request.url.params[key], TIME_FORMAT).replace(tzinfo=UTC)
            for key in ("start", "end")
        )
        self.asked.append((channel, first))
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
    """A client of `upstream`, in the app's context, with three nodes to be synced and one without a
    channel."""
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
    """What one sync of all nodes did."""

    nodes: int
    stored: int
    failed: tuple[str, ...]


def sync_all(client: ThingSpeak) -> Outcome:
    """Every node once, as a worker would, each under its lease."""
    with database().read() as session:
        found = sync.synced_node_ids(session)
    stored, failed = 0, []
    for node_id in found:
        with leases.hold(node_id) as lease:
            assert lease
            try:
                for fresh in sync.sync_node(client, node_id, lease):
                    stored += fresh
            except ThingSpeakError:
                failed.append(node_id)
    return Outcome(len(found), stored, tuple(failed))


def reached() -> datetime | None:
    with database().read() as session:
        return sync.furthest_behind(session)


def synced() -> datetime | None:
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


def test_everything_is_pulled_once(thingspeak: ThingSpeak, upstream: Channels) -> None:
    """The first run stores all entries, and the second asks for the last hour alone and stores
    nothing."""
    first = sync_all(thingspeak)
    assert first == Outcome(3, COUNT + 30, ())
    assert reached() == min(entries[-1][0] for entries in upstream.entries.values() if entries)
    assert stored() == expected(upstream)
    upstream.asked.clear()
    assert sync_all(thingspeak) == Outcome(3, 0, ())
    assert dict(upstream.asked)[1] == upstream.entries[1][-1][0] - sync.OVERLAP
    with database().read() as session:
        assert all(state.finished_at for state in session.query(SyncState))


class Crash(BaseException):
    """The process is killed here."""


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("commits", [0, 1, 2, 3, 4])
def test_a_killed_run_is_resumed(
    thingspeak: ThingSpeak,
    upstream: Channels,
    monkeypatch: pytest.MonkeyPatch,
    commits: int,
    after: bool,
) -> None:
    """Killed between any two commits, or within one, the next run ends with what a clean run
    stores."""
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
    found = len(stored())
    assert found < COUNT + 30 or (after and commits == 4)
    assert sync_all(thingspeak).stored == COUNT + 30 - found
    assert stored() == expected(upstream)


def test_the_mark_and_the_readings_move_together(
    thingspeak: ThingSpeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash inside a commit leaves neither its readings nor its mark."""
    monkeypatch.setattr(sync, "cursor_of", lambda *_: (_ for _ in ()).throw(Crash()))
    with pytest.raises(Crash):
        sync_all(thingspeak)
    with database().read() as session:
        assert (session.query(Reading).count(), session.query(SyncState).count()) == (0, 0)


def test_late_entries_are_found(thingspeak: ThingSpeak, upstream: Channels) -> None:
    """An entry that appears with a time within the overlap is stored by the next run, and the mark
    does not move back."""
    sync_all(thingspeak)
    late = upstream.entries[1][-1][0] - timedelta(minutes=59, seconds=30)
    upstream.entries[1] = [
        *upstream.entries[1][:-5],
        (late, 77.0),
    ]  # the newest are gone, and the mark must not follow them
    with database().read() as session:
        before = session.get(SyncState, "n1").synced_until
    assert sync_all(thingspeak).stored == 1
    assert ("n1", "flow", late, 77.0) in stored()
    with database().read() as session:
        assert session.get(SyncState, "n1").synced_until == before


def test_a_node_deleted_meanwhile_stores_nothing(
    thingspeak: ThingSpeak, upstream: Channels
) -> None:
    """When the node goes while its channel is read, nothing of it stays, and the run goes on."""
    upstream.before = lambda channel: nodes.delete("n1") if channel == 1 else None
    assert sync_all(thingspeak) == Outcome(3, 30, ())
    assert stored() == expected(upstream, 2, 3)
    with database().read() as session:
        assert session.get(SyncState, "n1") is None


def test_a_node_changed_meanwhile_is_read_from_the_beginning(
    thingspeak: ThingSpeak, upstream: Channels
) -> None:
    """A run that began with the old channel stores nothing more under it, and the next run reads
    the new one whole."""
    changes = iter([{"channel_id": 3}])

    def change(channel: int) -> None:
        if channel == 1 and (values := next(changes, None)):
            nodes.update("n1", values)

    upstream.before = change
    assert sync_all(thingspeak).stored == 30
    assert sync_all(thingspeak).stored == 20
    assert {row[2:] for row in stored() if row[0] == "n1"} == set(upstream.entries[3])


def test_a_new_field_brings_its_history(thingspeak: ThingSpeak, upstream: Channels) -> None:
    """Another metric for a field is filled from the beginning of the channel."""
    sync_all(thingspeak)
    nodes.update("n2", {"fields": {"field1": "discharge"}})
    assert sync_all(thingspeak).stored == 10
    assert {row[2:] for row in stored() if row[:2] == ("n2", "discharge")} == set(
        upstream.entries[2]
    )


def test_what_was_stored_before_a_failure_is_counted(
    thingspeak: ThingSpeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel that breaks half-way counts what its commits stored."""
    pages = thingspeak.feeds

    def half(*arguments: Any) -> Iterator[Any]:
        yield from pages(*arguments)
        raise ThingSpeakError("gone")

    monkeypatch.setattr(thingspeak, "feeds", half)
    assert sync_all(thingspeak) == Outcome(3, COUNT + 30, ("n1", "n2", "n3"))


def test_a_node_without_fields_stores_nothing(thingspeak: ThingSpeak) -> None:
    """A channel whose fields mean nothing yet is read without an error."""
    with database().write() as session:
        [session.delete(session.get(Node, name)) for name in ("n2", "n3")]
        session.get(Node, "n1").fields = {}
    assert sync_all(thingspeak) == Outcome(1, 0, ())


def test_a_lost_lease_commits_nothing(thingspeak: ThingSpeak, upstream: Channels) -> None:
    """Whoever was halted for so long that another took the node over stores nothing more, and moves
    no mark."""
    with leases.hold("n1") as lease:
        assert lease
        pages = sync.sync_node(thingspeak, "n1", lease)
        assert next(pages) == sync.COMMIT_ROWS
        with database().write() as session:
            session.query(Lease).update({"owner": "another"})
        with pytest.raises(sync.LeaseLost):
            next(pages)
    assert len(stored()) == sync.COMMIT_ROWS
    assert reached() == upstream.entries[1][sync.COMMIT_ROWS - 1][0]


def test_all_is_synced_since_the_node_that_was_longest_ago(thingspeak: ThingSpeak) -> None:
    """The last success of the job is the oldest among the nodes' last ones, and there is none while
    a node never had one."""
    assert synced() is None
    sync_all(thingspeak)
    before = synced()
    assert before
    with leases.hold("n1") as lease:
        assert lease
        assert list(sync.sync_node(thingspeak, "n1", lease)) == [0]
    assert synced() > before
    with database().write() as session:
        session.get(SyncState, "n3").finished_at = FIRST
    assert synced() == FIRST
    nodes.create({"id": "new", "name": "N", "kind": "flow_meter", "channel_id": 2})
    assert synced() is None


def test_without_channels_all_is_synced(app: Flask) -> None:
    """Nothing to do is no failure."""
    with app.app_context():
        nodes.create({"id": "no-channel", "name": "N", "kind": "flow_meter"})
        assert synced() is not None


def test_a_change_of_the_source_waits_for_the_commit_at_hand(
    app: Flask, thingspeak: ThingSpeak
) -> None:
    """What a commit moves is taken back by a change that comes meanwhile, so the history is read
    again by its new fields."""
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
