"""The sync: it is complete, stores each reading once, resumes, and requires the lease."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
import stamina
from flask import Flask

from api.models import Node, Reading, SyncState
from api.platform.db import database
from api.platform.jobs import leases
from api.platform.jobs.tasks import LeaseLost
from api.platform.tables import Lease
from api.services import nodes, sync, sync_state
from api.services.thingspeak import ThingSpeak, ThingSpeakError
from tests.api.services.channels import Channels, Outcome, sync_all

COUNT = 1_200  # three commits
FIRST = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=COUNT + 300)
Stored = set[tuple[str, str, datetime, float]]


@pytest.fixture
def upstream() -> Channels:
    """Return three channels with entries a minute apart."""
    channels = Channels(1, 2, 3)
    for number, count in ((1, COUNT), (2, 10), (3, 20)):
        times = [FIRST + timedelta(minutes=minute) for minute in range(count)]
        channels.upload(number, *((time, float(minute)) for minute, time in enumerate(times)))
    return channels


@pytest.fixture
def client(upstream: Channels, app: Flask) -> Iterator[ThingSpeak]:
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
        for moment, value in upstream.entries(channel)
    }


def test_second_sync_stores_nothing(client: ThingSpeak, upstream: Channels) -> None:
    """The first stores all entries; the second requests only the last hour."""
    first = sync_all(client)
    assert first == Outcome(3, COUNT + 30, ())
    assert oldest_cursor() == min(upstream.entries(channel)[-1][0] for channel in (1, 2, 3))
    assert stored() == expected(upstream)
    upstream.requests.clear()
    assert sync_all(client) == Outcome(3, 0, ())
    assert dict(upstream.requests)[1] == upstream.entries(1)[-1][0] - sync.OVERLAP
    with database().read() as session:
        assert all(state.finished_at for state in session.query(SyncState))


class Crash(BaseException):
    """The end of a process that was killed."""


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("commits", [0, 1, 2, 3, 4])
def test_killed_sync_is_resumed(
    client: ThingSpeak,
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
            sync_all(client)
    stored_before = len(stored())
    assert stored_before < COUNT + 30 or (after and commits == 4)
    assert sync_all(client).stored == COUNT + 30 - stored_before
    assert stored() == expected(upstream)


def test_cursor_and_readings_are_committed_together(
    client: ThingSpeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash inside a commit stores neither."""
    monkeypatch.setattr(sync, "move_cursor", Mock(side_effect=Crash))
    with pytest.raises(Crash):
        sync_all(client)
    with database().read() as session:
        assert (session.query(Reading).count(), session.query(SyncState).count()) == (0, 0)


def test_late_entry_is_stored(client: ThingSpeak, upstream: Channels) -> None:
    """The overlap of two runs contains it; the cursor does not move back."""
    sync_all(client)
    late = upstream.entries(1)[-1][0] - timedelta(minutes=59, seconds=30)
    upstream.upload(1, (late, 77.0))
    with database().read() as session:
        before = session.get(SyncState, "n1").synced_until
    assert sync_all(client).stored == 1
    assert ("n1", "flow", late, 77.0) in stored()
    with database().read() as session:
        assert session.get(SyncState, "n1").synced_until == before


def test_node_deleted_during_its_sync_stores_nothing(
    client: ThingSpeak, upstream: Channels
) -> None:
    """The other nodes are synced."""
    upstream.before = lambda channel: nodes.delete("n1") if channel == 1 else None
    assert sync_all(client) == Outcome(3, 30, ())
    assert stored() == expected(upstream, 2, 3)
    with database().read() as session:
        assert session.get(SyncState, "n1") is None


def test_node_changed_during_its_sync_is_synced_again(
    client: ThingSpeak, upstream: Channels
) -> None:
    """The run stores no more of the old channel; the next run reads the new one."""
    changes = iter([{"channel_id": 3}])

    def change(channel: int) -> None:
        if channel == 1 and (values := next(changes, None)):
            nodes.update("n1", values)

    upstream.before = change
    assert sync_all(client).stored == 30
    assert sync_all(client).stored == 20
    assert {row[2:] for row in stored() if row[0] == "n1"} == set(upstream.entries(3))


def test_new_field_is_backfilled(client: ThingSpeak, upstream: Channels) -> None:
    """Its metric is stored from the beginning of the channel."""
    sync_all(client)
    nodes.update("n2", {"fields": {"field1": "discharge"}})
    assert sync_all(client).stored == 10
    assert {row[2:] for row in stored() if row[:2] == ("n2", "discharge")} == set(
        upstream.entries(2)
    )


def test_readings_stored_before_a_failure_are_counted(
    client: ThingSpeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel fails half-way."""
    pages = client.feeds

    def half(*arguments: Any) -> Iterator[Any]:
        yield from pages(*arguments)
        raise ThingSpeakError("gone")

    monkeypatch.setattr(client, "feeds", half)
    assert sync_all(client) == Outcome(3, COUNT + 30, ("n1", "n2", "n3"))


def test_node_without_fields_stores_nothing(client: ThingSpeak) -> None:
    """Its channel is read without an error."""
    with database().write() as session:
        for node_id in ("n2", "n3"):
            session.delete(session.get(Node, node_id))
        session.get(Node, "n1").fields = {}
    assert sync_all(client) == Outcome(1, 0, ())


def test_worker_that_lost_its_lease_commits_nothing(client: ThingSpeak, upstream: Channels) -> None:
    """It stores no reading and moves no cursor."""
    with leases.hold("n1") as lease:
        assert lease
        pages = sync.sync_node(client, "n1", lease)
        assert next(pages) == sync.COMMIT_ROWS
        with database().write() as session:
            session.query(Lease).update({"owner": "another"})
        with pytest.raises(LeaseLost):
            next(pages)
    assert len(stored()) == sync.COMMIT_ROWS
    assert oldest_cursor() == upstream.entries(1)[sync.COMMIT_ROWS - 1][0]


def test_synced_since_is_the_oldest_success(client: ThingSpeak) -> None:
    """None until every node has had one."""
    assert synced_since() is None
    sync_all(client)
    before = synced_since()
    assert before
    with leases.hold("n1") as lease:
        assert lease
        assert list(sync.sync_node(client, "n1", lease)) == [0]
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


def test_change_of_the_source_waits_for_the_commit(app: Flask, client: ThingSpeak) -> None:
    """Then it resets the cursor that the commit has moved."""
    assert client

    def change() -> None:
        with app.app_context():
            nodes.update("n1", {"fields": {"field1": "other"}})

    with database().read() as session:
        node = session.get(Node, "n1")
    changing = threading.Thread(target=change)
    with database().write() as session:
        assert sync_state.lock_unchanged(session, node)
        changing.start()
        changing.join(0.5)  # long enough for a change that does not wait
        session.merge(SyncState(node_id="n1", synced_until=FIRST))
    changing.join()
    with database().read() as session:
        assert session.get(SyncState, "n1") is None
        assert sync_state.lock_unchanged(session, node) is None
