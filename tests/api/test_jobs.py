"""Jobs: attempts, dead letters, measurements; and real workers, of which one does a thing and none
is missed when it is killed."""

import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import SplitResult

import pytest
import stamina
from flask import Flask

from api.jobs import DELIVERIES, SYNC, Jobs
from api.models import DeadLetter, Delivery, Lease, SyncState, now
from api.platform.db import database
from api.platform.jobs import leases
from api.platform.jobs.dead_letters import record
from api.platform.jobs.retries import MAX_RETRY_DELAY
from api.platform.outbound import guarded_calls
from api.platform.outbound.circuit_breaker import BreakerOpen
from api.platform.state import app_state
from api.platform.telemetry import metrics, request_context
from api.services import sync, thingspeak
from api.services.thingspeak import Unavailable
from loadtests.thingspeak_stub import CHANNELS, ENTRY_SECONDS, Handler, ThingSpeakStub
from observability.spec import names
from tests.api.conftest import MakeApp, NewDatabase
from tests.api.helpers import NODE, NODES, sample, stored
from tests.conftest import DAY
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
CHANNEL = {"channel_id": 1001, "fields": {"field1": "flow_lps"}}
RUNS = f"{names.JOB_RUNS}_total"


@pytest.fixture
def app(
    make_app: MakeApp, migrated: str, replay: ThingSpeakStub, tmp_path: Path
) -> Iterator[Flask]:
    """An app with one node, whose channel the replay serves, and a queue of its own."""
    assert migrated
    url = f"http://127.0.0.1:{replay.server_port}"
    app = make_app(
        jobs_url=f"sqlite:///{tmp_path}/jobs.db",
        thingspeak_url=url,
        job_attempts=3,
        retry_seconds=0.01,
        sync_every=1000,
    )
    assert app.test_client().post(NODES, json=NODE | CHANNEL).status_code == 201
    with stamina.set_testing(True, attempts=1):
        yield app


@pytest.fixture
def jobs(app: Flask) -> Iterator[Jobs]:
    jobs = Jobs(app)
    yield jobs
    with app.app_context():
        jobs._leadership.release()


def work_off(jobs: Jobs) -> int:
    """Does what is in the queue and what it schedules, as a worker's threads would; how many tasks
    that were."""
    done = 0
    while jobs.huey.pending_count() or jobs.huey.scheduled_count():
        for task in jobs.huey.read_schedule():
            jobs.huey.enqueue(task)
        if task := jobs.huey.dequeue():
            jobs.huey.execute(task)
            done += 1
            assert done < 50, "it never ends"
    return done


def letters(app: Flask) -> list[DeadLetter]:
    with app.app_context(), database().read() as session:
        return session.query(DeadLetter).order_by(DeadLetter.id).all()


def gauge(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, labels)


def runs() -> list[float]:
    return [
        sample(metrics.REGISTRY, RUNS, **{names.JOB: SYNC, names.OUTCOME: outcome})
        for outcome in names.OUTCOMES
    ]


def test_a_tick_syncs_and_measures(app: Flask, jobs: Jobs) -> None:
    """The leader asks for every node that has a channel, and afterwards says since when all are
    synced, and how far."""
    app.test_client().post(NODES, json=NODE | {"id": "no-channel"})
    before = runs()
    jobs.tick()
    assert work_off(jobs) == 1
    assert stored(app) > 1400
    assert runs() == [before[0] + 1, before[1]]
    started = now().timestamp()
    jobs.tick()
    assert jobs.huey.pending_count() == 0  # the next is due in a thousand seconds
    with app.app_context(), database().read() as session:
        state = session.get(SyncState, NODE["id"])
    assert gauge(names.JOB_LAST_SUCCESS, task=SYNC) == state.finished_at.timestamp()
    assert gauge(names.JOB_REACHED, task=SYNC) == state.synced_until.timestamp()
    assert gauge(names.JOB_LAST_SUCCESS, task=DELIVERIES) >= started
    assert (
        gauge(names.DELIVERIES_PENDING),
        gauge(names.DEAD_LETTERS, task=SYNC),
        gauge(names.DEAD_LETTERS, task=DELIVERIES),
    ) == (0, 0, 0)


def test_what_waits_is_measured(app: Flask, jobs: Jobs) -> None:
    """Deliveries count, and the job is as old as the oldest of them: fresh means that nothing waits
    for long."""
    since = now() - timedelta(minutes=7)
    with app.app_context(), database().write() as session:
        for number, moment in enumerate((since, now())):
            session.add(
                Delivery(key=str(number), node_id="n", payload={}, headers={}, created_at=moment)
            )
    app_state(app).settings.webhook_url = "http://127.0.0.1:9/"
    jobs.tick()
    assert gauge(names.DELIVERIES_PENDING) == 2
    assert gauge(names.JOB_LAST_SUCCESS, task=DELIVERIES) == since.timestamp()
    app_state(app).settings.webhook_url = ""
    jobs.tick()
    assert gauge(names.JOB_LAST_SUCCESS, task=DELIVERIES) > since.timestamp() + 60


def test_only_the_leader_asks(app: Flask, jobs: Jobs) -> None:
    """Of two workers one schedules; the other takes over when the leader's lease has ended."""
    other = Jobs(app)
    jobs.tick()
    other.tick()
    assert (jobs.huey.pending_count(), other._leadership.lease) == (1, None)
    with app.app_context(), database().write() as session:
        session.query(Lease).update({"until": now() - timedelta(seconds=1)})
    leases.HELD_OWNERS.clear()  # the leader was killed: nobody renews for it
    jobs.huey.flush()
    other._leadership.renew_at = 0
    other.tick()
    assert jobs.huey.pending_count() == 1
    assert other._leadership.lease
    jobs._leadership.renew_at = 0
    jobs.tick()
    assert jobs._leadership.lease is None  # it was only halted, and learns that another leads
    with app.app_context():
        other._leadership.release()


def test_a_tick_survives_its_database(
    make_app: MakeApp, new_database: NewDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without tables it says so and is ready for the next second."""
    jobs = Jobs(
        make_app(jobs_url=f"sqlite:///{tmp_path}/jobs.db", database_url=new_database("empty"))
    )
    jobs.tick()
    assert '"message":"scheduling failed"' in capsys.readouterr().err


def test_an_outage_is_tried_again_and_then_a_dead_letter(
    app: Flask, jobs: Jobs, replay: ThingSpeakStub
) -> None:
    """As many attempts as the setting says, all with the ids of the first; the letter says how it
    went and goes with the next success."""
    replay.set_mode("fail", 60)
    before, ids = runs(), []
    do = jobs._sync
    jobs.sync.task_class.execute = lambda task: (
        ids.append(task.args[1][request_context.REQUEST_ID]),
        do(*task.args),
    )
    jobs.tick()
    work_off(jobs)
    assert (len(ids), len(set(ids))) == (3, 1)
    assert runs() == [before[0], before[1] + 3]
    (letter,) = letters(app)
    assert (letter.task, letter.subject, letter.attempts) == (SYNC, NODE["id"], 3)
    assert "500" in letter.error
    assert not jobs.sync_now()
    (letter,) = letters(app)
    assert letter.attempts == 4
    assert letter.first_at < letter.last_at
    jobs.tick()
    assert gauge(names.DEAD_LETTERS, task=SYNC) == 1
    replay.set_mode("ok", 0)
    assert jobs.sync_now()
    assert letters(app) == []


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """The day of the replay in pages of so many entries; of every so many calls the last finds the
    time of its run over."""

    def calls(size: int, calls: int) -> None:
        monkeypatch.setattr(thingspeak, "MAX_ENTRIES", size)
        left = itertools.cycle([60.0] * (calls - 1) + [-1.0])
        monkeypatch.setattr(guarded_calls, "seconds_left", lambda: next(left))

    return calls


def test_a_back_fill_past_its_deadline_goes_on(
    app: Flask, jobs: Jobs, pages: Callable[[int, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A run that moved the mark is no failure: what is left follows soon, no attempt is spent, and
    the last run finds the end."""
    pages(200, 12)
    before = runs()
    with app.app_context(), database().write() as session:
        record(session, SYNC, NODE["id"], "an earlier outage", 3)
    with caplog.at_level(logging.INFO):
        jobs.sync(NODE["id"], {})
        work_off(jobs)
    lines = [record.__dict__ for record in caplog.records if record.message == "job done"]
    assert len(lines) > 1
    assert [line["finished"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert {line["attempt"] for line in lines} == {1}
    assert runs() == [before[0] + len(lines), before[1]]
    assert stored(app) == sum(line["stored"] for line in lines) >= DAY // ENTRY_SECONDS
    assert (letters(app), synced(app)) == ([], True)


def test_a_back_fill_that_stands_still_is_a_failure(
    app: Flask, jobs: Jobs, pages: Callable[[int, int], None]
) -> None:
    """Without a step forward attempts are spent, and a dead letter stays; so it does where only the
    overlap was read again."""
    for size, calls in ((200, 6), (20, 4)):
        before = runs()
        pages(size, calls)
        jobs.sync(NODE["id"], {})
        work_off(jobs)
        assert runs() == [before[0], before[1] + 3]
        (letter,) = letters(app)
        assert "no time is left" in letter.error
        pages(2_000, 1_000)
        assert jobs.sync_now()


def test_a_sync_by_hand_says_that_more_is_left(
    app: Flask, jobs: Jobs, pages: Callable[[int, int], None]
) -> None:
    """`flask sync` has no next run, so a channel whose end was not reached is no success; a dead
    letter it is not."""
    pages(200, 12)
    assert not jobs.sync_now()
    assert (
        letters(app),
        stored(app) > 0,
        jobs.huey.pending_count(),
        jobs.huey.scheduled_count(),
    ) == ([], True, 0, 0)


def test_a_node_is_asked_for_once(app: Flask, jobs: Jobs, replay: ThingSpeakStub) -> None:
    """While a task for it waits, or its next attempt is held back, no other is jobs: an outage lets
    no queue grow."""
    replay.set_mode("fail", 60)
    app_state(app).settings.retry_seconds = 1000
    for _ in range(3):
        jobs._sync_at = 0
        jobs.tick()
    assert jobs.huey.pending_count() == 1
    for _ in range(2):
        jobs.huey.execute(jobs.huey.dequeue())  # the attempt, and putting the next one aside
    jobs._sync_at = 0
    jobs.tick()
    assert (jobs.huey.pending_count(), jobs.huey.scheduled_count()) == (0, 1)


def test_the_next_attempt_waits_until_it_can_succeed(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the host asked for, or until its breaker lets a trial through, but never for
    hours: else attempts are used up at once."""
    for error, seconds in (
        (BreakerOpen(12.0), 12.0),
        (Unavailable("asked too often (429)", 86_400), MAX_RETRY_DELAY),
    ):

        def fails(*_: object, error: Exception = error) -> Iterator[int]:
            raise error

        monkeypatch.setattr(sync, "sync_node", fails)
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        jobs._sync("tank-01", {})
        (task,) = jobs.huey.pending()
        assert abs((task.eta.replace(tzinfo=UTC) - due).total_seconds()) < 5
        jobs.huey.flush()


def test_a_refusal_is_not_tried_again(app: Flask, jobs: Jobs) -> None:
    """A channel without access is a dead letter at once; it goes when the node gets another
    channel, or is deleted."""
    client = app.test_client()
    for change in (
        lambda: client.patch(f"{NODES}/tank-01", json={"channel_id": 5}),
        lambda: client.delete(f"{NODES}/tank-01"),
    ):
        client.patch(f"{NODES}/tank-01", json={"channel_id": 4711})
        jobs.sync("tank-01", {})
        assert work_off(jobs) == 1
        (letter,) = letters(app)
        assert (letter.attempts, "-1" in letter.error) == (1, True)
        assert change().status_code < 300
        assert letters(app) == []


def test_an_error_that_nobody_foresaw_tells_the_log_alone(
    app: Flask, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The letter has its kind, the log its traceback; its text may hold what is nobody's
    business."""
    monkeypatch.setattr(
        jobs.thingspeak, "feeds", lambda *_: (_ for _ in ()).throw(ValueError("a key"))
    )
    assert not jobs.sync_now()
    assert letters(app)[0].error == "ValueError"
    assert [
        bool(record.exc_info) for record in caplog.records if record.message == "sync failed"
    ] == [True]


def test_a_node_that_another_is_at_is_left_alone(app: Flask, jobs: Jobs) -> None:
    """Neither success nor failure: whoever has the lease says how it goes."""
    before = runs()
    with app.app_context(), leases.hold(f"{SYNC}/tank-01"):
        assert jobs.sync_now()
    assert (runs(), stored(app)) == (before, 0)


def test_a_lost_lease_is_neither_success_nor_failure(
    app: Flask, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that took over counts; this one leaves what it stored before."""
    before = runs()
    monkeypatch.setattr(leases.Lease, "renew", lambda *_: False)
    assert jobs.sync_now()
    assert (runs(), stored(app), letters(app)) == (before, 0, [])


def test_a_node_that_is_gone_is_no_failure(app: Flask, jobs: Jobs) -> None:
    """It may have been deleted between the asking and the doing."""
    jobs.sync("nobody", {})
    assert work_off(jobs) == 1
    assert letters(app) == []


# --- real workers


class Upstream(ThingSpeakStub):
    """A replay that takes its time, and sees who asks for one channel while it is being asked for
    already."""

    def __init__(self, address: tuple[str, int]):
        super().__init__(address, DAY)
        self.RequestHandlerClass = Slow
        self.lock, self.active, self.most, self.asked = (
            threading.Lock(),
            Counter[str](),
            Counter[str](),
            Counter[str](),
        )
        self.gate = threading.Event()  # open: answers are not held back
        self.gate.set()


class Slow(Handler):
    server: Upstream

    def send_feed(self, url: SplitResult) -> None:
        server, channel = self.server, url.path.split("/")[2]
        with server.lock:
            server.active[channel] += 1
            server.asked[channel] += 1
            server.most[channel] = max(server.most[channel], server.active[channel])
        time.sleep(0.2)
        server.gate.wait(30)
        with server.lock:
            server.active[channel] -= 1
        with suppress(OSError):  # who asked may have been killed
            super().send_feed(url)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream(("127.0.0.1", 0))
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def workers(
    number: int, database_url: str, tmp_path: Path, **settings: str
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Real workers on that database, gone afterwards."""
    given = {
        "EVARA_DATABASE_URL": database_url,
        "EVARA_LEASE_SECONDS": "2",
        "EVARA_SYNC_EVERY": "0.5",
        **settings,
    }
    command = [sys.executable, "-m", "flask", "--app", "api.app", "worker"]
    with (tmp_path / "workers.log").open("ab") as log:
        started = [
            subprocess.Popen(command, cwd=ROOT, env=os.environ | given, stderr=log)
            for _ in range(number)
        ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def held(app: Flask) -> dict[str, str]:
    """Name → owner of the leases that have not ended."""
    with app.app_context(), database().read() as session:
        return {row.name: row.owner for row in session.query(Lease).filter(Lease.until > now())}


def synced(app: Flask) -> bool:
    """Whether every node has been synced to the end."""
    with app.app_context(), database().read() as session:
        return sync.synced_since(session) is not None


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_two_workers_share_and_one_killed_is_replaced(
    kind: str,
    request: pytest.FixtureRequest,
    make_app: MakeApp,
    migrated: str,
    upstream: Upstream,
    tmp_path: Path,
) -> None:
    """No node is synced by two at once; when the worker at it dies by kill -9, another has it after
    the lease, and nothing is doubled."""
    assert migrated
    app = make_app()
    for channel in CHANNELS:
        app.test_client().post(
            NODES, json=NODE | CHANNEL | {"id": f"n{channel}", "channel_id": channel}
        )
    url = (
        f"sqlite:///{tmp_path}/jobs.db"
        if kind == "sqlite"
        else request.getfixturevalue("redis_url")
    )
    settings = {
        "EVARA_JOBS_URL": url,
        "EVARA_THINGSPEAK_URL": f"http://127.0.0.1:{upstream.server_port}",
        "EVARA_THINGSPEAK_TIMEOUT": "30",
    }
    with workers(2, migrated, tmp_path, **settings) as (first, second):
        until(lambda: all(upstream.asked[str(channel)] >= 4 for channel in CHANNELS))
        upstream.gate.clear()  # everybody hangs in the middle of a sync
        until(lambda: sum(upstream.active.values()) == len(CHANNELS))
        before = held(app)
        first.kill()
        first.wait()
        asked = Counter(upstream.asked)
        upstream.gate.set()
        until(lambda: all(upstream.asked[channel] >= asked[channel] + 2 for channel in asked))
        assert dict(upstream.most) == {str(channel): 1 for channel in CHANNELS}
        until(
            lambda: (
                held(app).get("scheduler")
                and all(
                    owner != before.get(name) for name, owner in held(app).items() if "/" in name
                )
            )
        )
        until(lambda: synced(app))
        second.send_signal(signal.SIGTERM)
        assert second.wait(30) == 0
    assert held(app) == {}
    assert stored(app) >= 3 * DAY // ENTRY_SECONDS - 3
    assert letters(app) == []


def test_sigterm_ends_after_the_commit_at_hand(
    make_app: MakeApp, migrated: str, upstream: Upstream, tmp_path: Path
) -> None:
    """A worker that is asked to stop in the middle of a channel stores what it has, gives its
    leases back, and exits with 0."""
    assert migrated
    app = make_app()
    app.test_client().post(NODES, json=NODE | CHANNEL)
    upstream.gate.clear()
    settings = {
        "EVARA_JOBS_URL": f"sqlite:///{tmp_path}/jobs.db",
        "EVARA_THINGSPEAK_URL": f"http://127.0.0.1:{upstream.server_port}",
    }
    with workers(1, migrated, tmp_path, **settings) as (worker,):
        until(lambda: upstream.active["1001"])
        worker.send_signal(signal.SIGTERM)
        upstream.gate.set()
        assert worker.wait(30) == 0
    assert held(app) == {}
    assert stored(app) > 0
