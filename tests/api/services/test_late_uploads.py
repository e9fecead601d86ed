"""Late uploads: whatever arrives is stored, whatever its time, and no search lasts for ever."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import stamina
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.models import Reading, SyncState
from api.platform.db import database
from api.platform.jobs import leases
from api.platform.jobs.tasks import Unfinished
from api.platform.outbound.deadlines import DeadlineExceeded
from api.platform.telemetry import metrics
from api.services import entry_ids, nodes, sync, sync_state, thingspeak
from api.services.thingspeak import ThingSpeak
from tests.api.platform.helpers import sample
from tests.api.services.channels import Channels, sync_all

CHANNEL = 7
NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
METRICS = {"field1": "flow", "field2": "level"}


@pytest.fixture
def upstream() -> Channels:
    return Channels(CHANNEL)


@pytest.fixture
def client(upstream: Channels, app: Flask) -> Iterator[ThingSpeak]:
    """Yield a client of `upstream`; two nodes share its channel, each with a field of its own."""
    with app.app_context(), stamina.set_testing(True, attempts=1):
        for field, metric in METRICS.items():
            create_node(metric, {field: metric})
        yield ThingSpeak("http://upstream.invalid", 1, httpx.MockTransport(upstream.answer))


def create_node(node_id: str, fields: dict[str, str]) -> None:
    source = {"channel_id": CHANNEL, "fields": fields}
    nodes.create({"id": node_id, "name": "N", "kind": "flow_meter"} | source)


def state_of(node_id: str) -> SyncState:
    return sync_state.state_of(node_id)


def stored(node_id: str) -> set[tuple[datetime, float]]:
    """Return times and values of the node's readings."""
    with database().read() as session:
        rows = session.query(Reading).filter_by(node_id=node_id)
        return {(reading.time, reading.value) for reading in rows}


def missing_readings(upstream: Channels) -> dict[str, set[tuple[datetime, float]]]:
    """Return the values that the channel has and the node has not, of each node."""
    missing = {
        metric: set(upstream.entries(CHANNEL, field)) - stored(metric)
        for field, metric in METRICS.items()
    }
    return {metric: values for metric, values in missing.items() if values}


def requests_of_a_sync(client: ThingSpeak, upstream: Channels) -> int:
    """Sync both nodes and return the number of requests."""
    before = len(upstream.requests)
    sync_all(client)
    return len(upstream.requests) - before


def upload_live(upstream: Channels, hours: int = 24) -> None:
    """Upload a value of field1 every 10 minutes, up to now."""
    times = [NOW - 10 * MINUTE * step for step in reversed(range(6 * hours))]
    upstream.upload(CHANNEL, *((time, float(index)) for index, time in enumerate(times)))


def test_an_offline_device_uploads_its_readings(client: ThingSpeak, upstream: Channels) -> None:
    """A writes every 10 min; B uploads 18 entries with times 185 to 15 min ago: all are stored."""
    upload_live(upstream)
    sync_all(client)
    times = [NOW - timedelta(minutes=age) for age in range(185, 14, -10)]
    upstream.upload(CHANNEL, *((time, 1.0) for time in times), field="field2")
    sync_all(client)
    assert stored("level") == {(time, 1.0) for time in times}
    assert len(stored("level")) == 18
    assert missing_readings(upstream) == {}


@pytest.mark.parametrize(
    "age",
    [
        sync.OVERLAP + timedelta(seconds=1),
        sync.OVERLAP + timedelta(seconds=30),
        sync.OVERLAP + sync.FIRST_SPAN + timedelta(seconds=2),
        sync.OVERLAP + sync.FIRST_SPAN + timedelta(seconds=30),
        2 * DAY,
        400 * DAY,
        NOW - datetime(2001, 1, 1, tzinfo=UTC),
    ],
    ids=[
        "just before the usual read",
        "30 s before the usual read",
        "just before the first span",
        "30 s before the first span",
        "days",
        "a year",
        "before ThingSpeak",
    ],
)
def test_an_entry_of_any_age_is_stored(
    client: ThingSpeak, upstream: Channels, age: timedelta
) -> None:
    """The run after its arrival stores it; later runs need one request per node again."""
    upload_live(upstream)
    sync_all(client)
    assert requests_of_a_sync(client, upstream) == 2
    upstream.upload(CHANNEL, (NOW - age, 5.0), field="field2")
    sync_all(client)
    assert stored("level") == {(NOW - age, 5.0)}
    assert requests_of_a_sync(client, upstream) == 2


def test_young_entries_are_found_first(client: ThingSpeak, upstream: Channels) -> None:
    """Entries of the last day cost each node three requests more, once.

    Two of them are for times beyond the limits.
    """
    upload_live(upstream)
    sync_all(client)
    upstream.upload(CHANNEL, (NOW - 5 * HOUR, 5.0), field="field2")
    assert requests_of_a_sync(client, upstream) == 2 * 4
    assert requests_of_a_sync(client, upstream) == 2


def test_a_gap_that_stays_is_searched_twice(client: ThingSpeak, upstream: Channels) -> None:
    """Ids without an entry do not exist once every time has been searched by two runs."""
    upload_live(upstream)
    sync_all(client)
    upstream.upload(CHANNEL, *((NOW - 5 * HOUR, float(value)) for value in range(4)))
    for entry_id in (146, 148):
        upstream.channels[CHANNEL].delete(entry_id)
    for absent in ([[146, 146], [148, 148]], []):
        assert 4 < requests_of_a_sync(client, upstream) <= 2 * (3 + sync.LOOK_BACK_PAGES)
        assert state_of("flow").missing == []
        assert state_of("flow").absent == absent
    assert requests_of_a_sync(client, upstream) == 2


def test_an_entry_may_appear_later_than_its_id(
    client: ThingSpeak, upstream: Channels, caplog: pytest.LogCaptureFixture
) -> None:
    """The run after a search that found nothing searches again, beside ids that are new."""
    nodes.delete("flow")
    upload_live(upstream)
    sync_all(client)
    entries = upstream.channels[CHANNEL].entries
    late = [(NOW - age * HOUR, float(age)) for age in (5, 50, 500)]
    with caplog.at_level(logging.INFO, logger="api.services.sync"):
        for value in late:
            upstream.upload(CHANNEL, value, field="field2")
            hidden = entries.pop()
            sync_all(client)
            assert value not in stored("level")
            entries.append(hidden)
    sync_all(client)
    assert stored("level") == set(late)
    lines = [record.__dict__ for record in caplog.records if "looked back" in record.message]
    assert [(line["stored"], line["missing"]) for line in lines] == [(0, 1), (1, 1), (1, 1), (1, 0)]
    assert requests_of_a_sync(client, upstream) == 1


def test_a_gap_of_millions_of_ids_is_searched_twice(client: ThingSpeak, upstream: Channels) -> None:
    """Neither memory nor the number of requests depends on the size of a gap."""
    upload_live(upstream)
    sync_all(client)
    upstream.channels[CHANNEL].last_entry_id += 10**12
    upstream.upload(CHANNEL, (NOW - 5 * HOUR, 5.0), field="field2")
    for _ in range(2):
        assert requests_of_a_sync(client, upstream) <= 2 * (3 + sync.LOOK_BACK_PAGES)
        assert missing_readings(upstream) == {}
    assert requests_of_a_sync(client, upstream) == 2


@pytest.mark.parametrize("count", [3, 300], ids=["fewer ids than before", "more ids than before"])
@pytest.mark.parametrize("late", [False, True], ids=["new times", "old times"])
def test_a_cleared_channel_is_read_anew(
    client: ThingSpeak, upstream: Channels, count: int, late: bool
) -> None:
    """Its ids start again; every new entry is stored, and what was stored stays."""
    upload_live(upstream)
    sync_all(client)
    before = stored("flow")
    assert len(before) == 144
    upstream.channels[CHANNEL].clear()
    first = NOW - 30 * DAY if late else NOW - 5 * HOUR
    values = [(first + step * timedelta(seconds=61), 0.5) for step in range(count)]
    upstream.upload(CHANNEL, *values, field="field2")
    sync_all(client)
    assert (stored("flow"), stored("level")) == (before, set(values))
    assert requests_of_a_sync(client, upstream) == 2
    upstream.upload(CHANNEL, (NOW - 9 * HOUR, 7.0), field="field2")
    sync_all(client)
    assert missing_readings(upstream) == {}


def test_a_channel_cleared_during_a_run_is_read_anew(
    client: ThingSpeak, upstream: Channels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run misses new entries with times that it has passed; the next run notices."""
    monkeypatch.setattr(thingspeak, "MAX_ENTRIES", 100)
    nodes.delete("flow")
    first, last = (NOW - 25 * HOUR, 1.5), (NOW, 2.5)
    passed = [(NOW - 24 * HOUR - step * MINUTE, 0.5) for step in (1, 2)]
    upstream.upload(CHANNEL, first, field="field2")
    upload_live(upstream)

    def clear_after_the_first_page(_: int) -> None:
        if stored("level") == {first}:
            upstream.channels[CHANNEL].clear()
            upstream.upload(CHANNEL, *passed, last, field="field2")

    upstream.before = clear_after_the_first_page
    sync_all(client)
    assert stored("level") == {first, last}
    sync_all(client)
    assert stored("level") == {first, last, *passed}


def test_an_empty_cleared_channel_needs_one_request(client: ThingSpeak, upstream: Channels) -> None:
    """A channel that stays empty costs each node one request per run."""
    upload_live(upstream)
    sync_all(client)
    upstream.channels[CHANNEL].clear()
    sync_all(client)
    assert requests_of_a_sync(client, upstream) == 2


def test_an_entry_ahead_of_the_clock_is_no_gap(client: ThingSpeak, upstream: Channels) -> None:
    """It is stored, starts no search, and does not move the cursor into the future."""
    upload_live(upstream)
    sync_all(client)
    upstream.upload(CHANNEL, (NOW + 20 * HOUR, 5.0), field="field2")
    assert requests_of_a_sync(client, upstream) == 2
    assert stored("level") == {(NOW + 20 * HOUR, 5.0)}
    assert state_of("level").synced_until <= NOW
    assert requests_of_a_sync(client, upstream) == 2


@pytest.mark.parametrize(
    ("time", "requests"),
    [
        (NOW + 3 * DAY, 1),
        (NOW + 20_000 * DAY, 1),
        (datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), 2),
        (datetime(1970, 1, 1, 12, tzinfo=UTC), 2),
    ],
    ids=["3 days ahead", "decades ahead", "1999", "1970"],
)
def test_a_clock_that_stays_wrong_is_counted_without_looking_back(
    client: ThingSpeak,
    upstream: Channels,
    caplog: pytest.LogCaptureFixture,
    time: datetime,
    requests: int,
) -> None:
    """Every entry is counted once for the node that uses its field, in few requests per run."""
    node_id = f"wrong-clock-{time:%Y%m%d}"
    nodes.delete("flow")
    nodes.delete("level")
    create_node(node_id, {"field2": "level"})
    upload_live(upstream)
    sync_all(client)
    for run in range(3):
        upstream.upload(CHANNEL, (time - run * MINUTE, float(run)), field="field2")
        upstream.upload(CHANNEL, (time - run * MINUTE - MINUTE / 2, 1.0), field="field3")
        assert requests_of_a_sync(client, upstream) == 1 + requests
    labels = {"node": node_id, "field": "field2", "reason": "time_range"}
    assert sample(metrics.REGISTRY, "evara_sync_rejected_values_total", **labels) == 3
    logged = [record for record in caplog.records if getattr(record, "reason", "") == "time_range"]
    assert len(logged) == 1
    assert requests_of_a_sync(client, upstream) == 1
    assert stored(node_id) == set()


def test_a_wrong_clock_hides_no_late_entry(client: ThingSpeak, upstream: Channels) -> None:
    """The ids that remain when the wrong times were rejected are searched in the same run."""
    upload_live(upstream)
    sync_all(client)
    upstream.upload(CHANNEL, (NOW + 3 * DAY, 1.0), (NOW - 5 * HOUR, 5.0), field="field2")
    sync_all(client)
    assert stored("level") == {(NOW - 5 * HOUR, 5.0)}
    assert requests_of_a_sync(client, upstream) == 2


def test_many_entries_far_ahead_cost_one_request(
    client: ThingSpeak, upstream: Channels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more than one response holds, the newest times are in it; new ones are among them."""
    nodes.delete("flow")
    upload_live(upstream)
    upstream.upload(CHANNEL, *((NOW + 3 * DAY - step * MINUTE, 1.0) for step in range(300)))
    for _ in range(2):
        sync_all(client)
    monkeypatch.setattr(thingspeak, "MAX_ENTRIES", 200)
    upstream.upload(CHANNEL, (NOW + 3 * DAY + MINUTE, 1.0))
    assert requests_of_a_sync(client, upstream) == 2


def test_a_new_field_is_backfilled_with_late_entries(
    client: ThingSpeak, upstream: Channels
) -> None:
    """A change of the fields starts the search anew: nothing counts as read."""
    upload_live(upstream)
    upstream.upload(CHANNEL, (NOW - 40 * DAY, 5.0), field="field2")
    sync_all(client)
    nodes.update("flow", {"fields": {"field1": "flow", "field2": "depth"}})
    sync_all(client)
    assert (NOW - 40 * DAY, 5.0) in stored("flow")


def test_what_an_earlier_release_missed_is_found(client: ThingSpeak, upstream: Channels) -> None:
    """A state that has no ids yet searches the whole channel once."""
    upload_live(upstream)
    upstream.upload(CHANNEL, (NOW - 40 * DAY, 5.0), field="field2")
    with database().write() as session:
        session.add(SyncState(node_id="level", synced_until=NOW - MINUTE))
    sync_all(client)
    assert stored("level") == {(NOW - 40 * DAY, 5.0)}
    assert requests_of_a_sync(client, upstream) == 2


def test_a_response_without_last_entry_id_is_read(app: Flask) -> None:
    """Without it, gaps among the ids that were seen still show late entries."""
    late: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        start = request.url.params["start"].replace(" ", "T")
        live = {"created_at": NOW.isoformat(), "entry_id": 1 + 2 * len(late), "field1": "1"}
        feeds = [entry for entry in [live, *late] if entry["created_at"] >= start]
        return httpx.Response(200, json={"channel": {}, "feeds": feeds})

    with app.app_context():
        create_node("flow", {"field1": "flow"})
        client = ThingSpeak("http://upstream.invalid", 1, httpx.MockTransport(answer))
        sync_all(client)
        time = NOW - 5 * HOUR
        late.append({"created_at": time.isoformat(), "entry_id": 2, "field1": "2"})
        sync_all(client)
        assert stored("flow") == {(NOW, 1.0), (time, 2.0)}


def test_without_last_entry_id_a_late_entry_is_no_cleared_channel(
    client: ThingSpeak, upstream: Channels, caplog: pytest.LogCaptureFixture
) -> None:
    """The channel's highest id is old by time, so that later reads do not contain it."""
    nodes.delete("level")
    upload_live(upstream)
    upstream.upload(CHANNEL, (NOW - 5 * HOUR - MINUTE, 5.0))

    def answer(request: httpx.Request) -> httpx.Response:
        feed = upstream.answer(request).json()
        return httpx.Response(200, json={"channel": {}, "feeds": feed["feeds"]})

    client = ThingSpeak("http://upstream.invalid", 1, httpx.MockTransport(answer))
    sync_all(client)
    assert [requests_of_a_sync(client, upstream) for _ in range(3)] == [1, 1, 1]
    assert "cleared" not in caplog.text
    assert state_of("flow").known_id == 145
    upstream.upload(CHANNEL, (NOW, 7.0))
    assert requests_of_a_sync(client, upstream) == 1
    assert state_of("flow").known_id == 146


def test_the_channel_of_a_node_set_away_and_back_is_read_anew(
    client: ThingSpeak, upstream: Channels
) -> None:
    """So are times that a refilled channel has in addition; readings of stored times stay."""
    nodes.delete("level")
    last = (NOW, 3.0)
    upstream.upload(CHANNEL, (NOW - 3 * DAY, 1.0), (NOW - 2 * DAY, 2.0), last)
    sync_all(client)
    upstream.channels[CHANNEL].clear()
    upstream.upload(CHANNEL, (NOW - 5 * DAY, 9.0), (NOW - 2 * DAY, 8.0), last)
    before = stored("flow")
    sync_all(client)
    assert stored("flow") == before
    for channel_id in (None, CHANNEL):
        nodes.update("flow", {"channel_id": channel_id})
    sync_all(client)
    assert stored("flow") == before | {(NOW - 5 * DAY, 9.0)}


def test_a_search_is_resumed_and_bounded(
    client: ThingSpeak,
    upstream: Channels,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A run reads a few pages, new entries first; a run that is cut off continues where it was."""
    monkeypatch.setattr(sync, "LOOK_BACK_PAGES", 2)
    nodes.delete("flow")
    upload_live(upstream)
    sync_all(client)
    upstream.upload(CHANNEL, (NOW - 900 * DAY, 5.0), field="field2")
    searched = []
    for run in range(4):
        upstream.upload(CHANNEL, (NOW - MINUTE * (4 - run), 1.0), field="field2")
        with caplog.at_level(logging.INFO, logger="api.services.sync"):
            assert requests_of_a_sync(client, upstream) <= 1 + 2 + 2
        searched.append(state_of("level").searched_from)
        assert (NOW - MINUTE * (4 - run), 1.0) in stored("level")
        if (NOW - 900 * DAY, 5.0) in stored("level"):
            break
    assert len(searched) > 1
    assert searched[-1] is None
    assert searched[:-1] == sorted(searched[:-1], reverse=True)
    lines = [record.__dict__ for record in caplog.records if "looked back" in record.message]
    assert [line["stored"] for line in lines] == [0] * (len(lines) - 1) + [1]
    assert requests_of_a_sync(client, upstream) == 1


def test_a_deadline_while_looking_back_is_no_failure(
    client: ThingSpeak, upstream: Channels
) -> None:
    """The node is synced to the end of its channel, and the next run continues the search."""
    upload_live(upstream)
    sync_all(client)
    upstream.upload(CHANNEL, (NOW - 900 * DAY, 5.0), field="field2")
    before = state_of("level").finished_at
    calls = itertools.count()

    def reach_deadline(_: int) -> None:
        if next(calls) == 5:
            raise DeadlineExceeded("the deadline passed")

    upstream.before = reach_deadline
    with leases.hold("level") as lease:
        assert lease
        with pytest.raises(Unfinished):
            list(sync.sync_node(client, "level", lease))
    state = state_of("level")
    assert before
    assert state.finished_at
    assert state.finished_at > before
    assert state.searched_from
    sync_all(client)
    assert missing_readings(upstream) == {}


def test_many_gaps_are_kept_as_one(client: ThingSpeak, upstream: Channels) -> None:
    """Ids in an order unlike that of the times do not make the state grow, and all are stored."""
    step = 7919  # a prime: entry i has the time of (i × step) mod count
    count = 6 * entry_ids.MAX_RANGES
    times = [NOW - HOUR * (1 + index * step % count) for index in range(count)]
    upstream.upload(CHANNEL, (NOW, 0.0))
    sync_all(client)
    upstream.upload(CHANNEL, *((time, 1.0) for time in times))
    sizes = []
    for _ in range(6):
        sync_all(client)
        sizes.append(len(state_of("flow").missing))
    assert max(sizes) <= entry_ids.MAX_RANGES
    assert missing_readings(upstream) == {}
    assert state_of("flow").missing == []


class Crash(BaseException):
    """The process is killed here."""


class World:
    """Two nodes on a channel, and what may happen to them; every time and value occurs once."""

    def __init__(self, client: ThingSpeak, upstream: Channels, patch: pytest.MonkeyPatch):
        self.client = client
        self.upstream = upstream
        self.clock = NOW - 600 * DAY
        self.times: set[datetime] = set()
        self.left: int | None = None  # transactions until the process is killed
        upstream.channels[CHANNEL].clear()
        lock = sync.lock

        def lock_or_crash(*arguments: Any) -> Any:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise Crash
            return lock(*arguments)

        patch.setattr(sync, "lock", lock_or_crash)

    def upload(self, age: float, field: str, count: int) -> None:
        """Upload values so many hours old."""
        self.clock += HOUR
        time = self.clock - timedelta(hours=age)
        values = []
        for _ in range(count):
            while time in self.times:
                time += timedelta(seconds=1)
            self.times.add(time)
            values.append((time, float(len(self.times))))
        self.upstream.upload(CHANNEL, *values, field=field)

    def delete(self, place: float) -> None:
        """Delete an entry."""
        channel = self.upstream.channels[CHANNEL]
        if channel.entries:
            index = int(place * len(channel.entries))
            channel.delete(channel.entries[index]["entry_id"])

    def sync(self, crash_after: int | None = None, deadline_after: int | None = None) -> None:
        """Sync both nodes, up to a crash after some commits or a deadline after some requests."""
        self.left = crash_after
        requests = itertools.count()

        def reach_deadline(_: int) -> None:
            if deadline_after is not None and next(requests) >= deadline_after:
                raise DeadlineExceeded("the deadline passed")

        self.upstream.before = reach_deadline
        with suppress(Crash, Unfinished, DeadlineExceeded):
            sync_all(self.client)
        self.left = None

    def is_accounted_for(self) -> bool:
        """Return whether the last search of each node included every id, and found its end."""
        last_id = self.upstream.channels[CHANNEL].last_entry_id
        states = [state_of(node_id) for node_id in METRICS.values()]
        known = [(state.known_id, state.missing, state.absent) for state in states]
        return all(state == (last_id, [], []) for state in known)

    def change_fields(self, field: str) -> None:
        """Give a node another field and back, between runs."""
        metric = METRICS[field]
        nodes.update(metric, {"fields": {"field8": metric}})
        nodes.update(metric, {"fields": {field: metric}})


FIELDS = st.sampled_from(["field1", "field2"])
LATE = st.sampled_from([0.0, 0.5, 2.0, 30.0, 200.0, 5_000.0, 200_000.0])
STEPS = st.one_of(
    st.tuples(st.just("upload"), st.just(0.0), FIELDS, st.integers(1, 3)),
    st.tuples(st.just("upload"), LATE, FIELDS, st.integers(1, 9)),
    st.tuples(st.just("delete"), st.floats(0, 0.99)),
    st.tuples(st.just("clear")),
    st.tuples(st.just("sync")),
    st.tuples(st.just("sync"), st.integers(0, 12)),
    st.tuples(st.just("sync"), st.none(), st.integers(0, 12)),
    st.tuples(st.just("change_fields"), FIELDS),
)


@given(steps=st.lists(STEPS, min_size=3, max_size=25), data=st.data())
@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_everything_in_the_channel_is_stored_in_the_end(
    client: ThingSpeak, upstream: Channels, steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    """After any uploads, losses and crashes, enough runs store all that the channel has.

    Then a run needs one request per node.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thingspeak, "MAX_ENTRIES", data.draw(st.sampled_from([4, 8_000])))
        patch.setattr(sync, "COMMIT_ROWS", 2)
        patch.setattr(sync, "LOOK_BACK_PAGES", 20)
        patch.setattr(entry_ids, "MAX_RANGES", data.draw(st.sampled_from([1, 3, 100])))
        world = World(client, upstream, patch)
        for name, *arguments in steps:
            if name == "clear":
                upstream.channels[CHANNEL].clear()
            else:
                getattr(world, name)(*arguments)
        for _ in range(100):
            world.sync()
            if world.is_accounted_for():
                break
        assert missing_readings(upstream) == {}
        if thingspeak.MAX_ENTRIES == 8_000:
            assert requests_of_a_sync(client, upstream) == 2
        for field, metric in METRICS.items():
            nodes.delete(metric)
            create_node(metric, {field: metric})
