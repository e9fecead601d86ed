"""Jobs: the schedule, attempts, dead letters and measurements."""

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
import stamina
from flask import Flask

from api.models import SyncState
from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs import leases
from api.platform.jobs.dead_letters import record
from api.platform.jobs.retries import MAX_RETRY_DELAY
from api.platform.jobs.worker import Jobs
from api.platform.outbound import guarded_calls
from api.platform.outbound.circuit_breaker import BreakerOpen
from api.platform.state import app_state
from api.platform.tables import Delivery, Lease
from api.platform.telemetry import logs, metrics, request_context
from api.services import sync, thingspeak
from api.services.alarms import JOB as DELIVERIES
from api.services.state import service_state
from api.services.thingspeak import SYNC_JOB as SYNC
from api.services.thingspeak import Unavailable
from loadtests.thingspeak_stub import ENTRY_SECONDS, ThingSpeakStub
from observability.spec import names
from tests.api.conftest import MakeApp, NewDatabase
from tests.api.helpers import DAY, NODE, NODES, is_synced, stored
from tests.api.platform.helpers import dead_letters, sample

ROOT = Path(__file__).resolve().parents[2]
CHANNEL = {"channel_id": 1001, "fields": {"field1": "flow_lps"}}
RUNS = f"{names.JOB_RUNS}_total"


@pytest.fixture
def app(
    make_app: MakeApp, migrated: str, replay: ThingSpeakStub, tmp_path: Path
) -> Iterator[Flask]:
    """Yield an app with a queue of its own and one node, whose channel the replay server has."""
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
        jobs.leadership.release()


def run_tasks(jobs: Jobs) -> int:
    """Run the queued tasks and those they schedule, as a worker does; return their number."""
    count = 0
    while jobs.huey.pending_count() or jobs.huey.scheduled_count():
        for task in jobs.huey.read_schedule():
            jobs.huey.enqueue(task)
        if task := jobs.huey.dequeue():
            jobs.huey.execute(task)
            count += 1
            assert count < 50, "the tasks do not end"
    return count


def gauge(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, labels)


def runs() -> list[float]:
    return [
        sample(metrics.REGISTRY, RUNS, **{names.JOB: SYNC, names.OUTCOME: outcome})
        for outcome in names.OUTCOMES
    ]


def test_tick_queues_syncs_and_sets_gauges(app: Flask, jobs: Jobs) -> None:
    """Every node with a channel is queued by the leader."""
    app.test_client().post(NODES, json=NODE | {"id": "no-channel"})
    before = runs()
    jobs.tick()
    assert run_tasks(jobs) == 1
    assert stored(app) > 1400
    assert runs() == [before[0] + 1, before[1]]
    started = now().timestamp()
    jobs.tick()
    assert jobs.huey.pending_count() == 0  # the next is due in a thousand seconds
    with app.app_context(), database().read() as session:
        state = session.get(SyncState, NODE["id"])
    assert gauge(names.JOB_LAST_SUCCESS, task=SYNC) == state.finished_at.timestamp()
    assert gauge("evara_job_reached_timestamp_seconds", task=SYNC) == state.synced_until.timestamp()
    assert gauge(names.JOB_LAST_SUCCESS, task=DELIVERIES) >= started
    assert (
        gauge(names.DELIVERIES_PENDING),
        gauge(names.DEAD_LETTERS, task=SYNC),
        gauge(names.DEAD_LETTERS, task=DELIVERIES),
    ) == (0, 0, 0)


def test_pending_deliveries_are_measured(app: Flask, jobs: Jobs) -> None:
    """Their number, and the age of the oldest as the job's last success."""
    since = now() - timedelta(minutes=7)
    with app.app_context(), database().write() as session:
        for number, moment in enumerate((since, now())):
            session.add(
                Delivery(key=str(number), subject="n", payload={}, headers={}, created_at=moment)
            )
    app_state(app).settings.webhook_url = "http://127.0.0.1:9/"
    jobs.tick()
    assert gauge(names.DELIVERIES_PENDING) == 2
    assert gauge(names.JOB_LAST_SUCCESS, task=DELIVERIES) == since.timestamp()
    app_state(app).settings.webhook_url = ""
    jobs.tick()
    assert gauge(names.JOB_LAST_SUCCESS, task=DELIVERIES) > since.timestamp() + 60


def test_only_the_leader_schedules(app: Flask, jobs: Jobs) -> None:
    """The other worker takes over when the leader's lease expires."""
    other = Jobs(app)
    jobs.tick()
    other.tick()
    assert (jobs.huey.pending_count(), other.leadership.lease) == (1, None)
    with app.app_context(), database().write() as session:
        session.query(Lease).update({"until": now() - timedelta(seconds=1)})
    leases.HELD_OWNERS.clear()  # as if the leader had been killed: its lease is not renewed
    jobs.huey.flush()
    other.leadership.renew_at = 0
    other.tick()
    assert jobs.huey.pending_count() == 1
    assert other.leadership.lease
    jobs.leadership.renew_at = 0
    jobs.tick()
    assert jobs.leadership.lease is None  # it had only stalled, and finds that another leads
    with app.app_context():
        other.leadership.release()


def test_tick_without_a_database_is_reported(
    make_app: MakeApp, new_database: NewDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is logged and reported, and does not raise."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    app = make_app(jobs_url=url, database_url=new_database("empty"))
    errors: list[Exception] = []
    app_state(app).report_error = errors.append
    Jobs(app).tick()
    assert '"message":"scheduling failed"' in capsys.readouterr().err
    assert len(errors) == 1


def test_error_outside_a_sync_is_reported(
    app: Flask, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sentry also gets the failure of a database when the lease is acquired."""
    errors: list[Exception] = []
    app_state(app).report_error = errors.append
    monkeypatch.setattr(leases, "acquire", Mock(side_effect=ConnectionError))
    with pytest.raises(ConnectionError):
        jobs.runners[SYNC].run("node", {})
    assert [type(error) for error in errors] == [ConnectionError]


def test_outage_is_retried_and_then_becomes_a_dead_letter(
    app: Flask, jobs: Jobs, replay: ThingSpeakStub
) -> None:
    """All attempts have the first one's request id; the next success deletes the letter."""
    replay.set_mode("fail", 60)
    before, ids = runs(), []
    do = jobs.runners[SYNC].run
    jobs.runners[SYNC].queued_run.task_class.execute = lambda task: (
        ids.append(task.args[1][request_context.REQUEST_ID]),
        do(*task.args),
    )
    jobs.tick()
    run_tasks(jobs)
    assert (len(ids), len(set(ids))) == (3, 1)
    assert runs() == [before[0], before[1] + 3]
    (letter,) = dead_letters(app)
    assert (letter.task, letter.subject, letter.attempts) == (SYNC, NODE["id"], 3)
    assert "500" in letter.error
    assert not jobs.runners[SYNC].run_all()
    (letter,) = dead_letters(app)
    assert letter.attempts == 4
    assert letter.first_at < letter.last_at
    jobs.tick()
    assert gauge(names.DEAD_LETTERS, task=SYNC) == 1
    replay.set_mode("ok", 0)
    assert jobs.runners[SYNC].run_all()
    assert dead_letters(app) == []


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Return a function that sets the entries per page and the calls until the deadline."""

    def calls(size: int, calls: int) -> None:
        monkeypatch.setattr(thingspeak, "MAX_ENTRIES", size)
        left = itertools.cycle([60.0] * (calls - 1) + [-1.0])
        monkeypatch.setattr(guarded_calls, "seconds_left", lambda: next(left))

    return calls


def test_an_error_in_unprintable_text_becomes_a_dead_letter(
    app: Flask, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the other host sends, its text can be stored and printed."""

    def fail(*_: object) -> Iterator[int]:
        raise Unavailable("a\ud800\0\x1b[31m\né")

    runner = jobs.runners[SYNC]
    monkeypatch.setattr(runner, "task", replace(runner.task, run=fail))
    assert not runner.run_all()
    [letter] = dead_letters(app)
    assert letter.error == r"a\ud800\x00\x1b[31m\né"


def test_backfill_past_its_deadline_continues(
    app: Flask, jobs: Jobs, pages: Callable[[int, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A run that moved the cursor is no failure: the next one follows without a new attempt."""
    pages(200, 12)
    before = runs()
    with app.app_context(), database().write() as session:
        record(session, SYNC, NODE["id"], "an earlier outage", 3, {})
    with caplog.at_level(logging.INFO):
        jobs.runners[SYNC].queued_run(NODE["id"], {})
        run_tasks(jobs)
    lines = [record.__dict__ for record in caplog.records if record.message == logs.JOB_DONE]
    assert len(lines) > 1
    assert [line["finished"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert {line["attempt"] for line in lines} == {1}
    assert runs() == [before[0] + len(lines), before[1]]
    assert stored(app) == sum(line["stored"] for line in lines) >= DAY // ENTRY_SECONDS
    assert (dead_letters(app), is_synced(app)) == ([], True)


def test_backfill_without_progress_is_a_failure(
    app: Flask, jobs: Jobs, pages: Callable[[int, int], None]
) -> None:
    """Reading nothing, or only the overlap, uses an attempt; the last leaves a dead letter."""
    for size, calls in ((200, 6), (20, 4)):
        before = runs()
        pages(size, calls)
        jobs.runners[SYNC].queued_run(NODE["id"], {})
        run_tasks(jobs)
        assert runs() == [before[0], before[1] + 3]
        (letter,) = dead_letters(app)
        assert "the deadline passed" in letter.error
        pages(2_000, 1_000)
        assert jobs.runners[SYNC].run_all()


def test_sync_command_reports_an_unfinished_channel(
    app: Flask, jobs: Jobs, pages: Callable[[int, int], None]
) -> None:
    """It has no next run, so this is no success, but no dead letter either."""
    pages(200, 12)
    assert not jobs.runners[SYNC].run_all()
    assert (
        dead_letters(app),
        stored(app) > 0,
        jobs.huey.pending_count(),
        jobs.huey.scheduled_count(),
    ) == ([], True, 0, 0)


def test_node_is_queued_once(app: Flask, jobs: Jobs, replay: ThingSpeakStub) -> None:
    """No second task is queued while one waits or is scheduled."""
    replay.set_mode("fail", 60)
    app_state(app).settings.retry_seconds = 1000
    for _ in range(3):
        jobs.runners[SYNC].next_enqueue_at = 0
        jobs.tick()
    assert jobs.huey.pending_count() == 1
    for _ in range(2):
        jobs.huey.execute(jobs.huey.dequeue())  # the attempt, and putting the next one aside
    jobs.runners[SYNC].next_enqueue_at = 0
    jobs.tick()
    assert (jobs.huey.pending_count(), jobs.huey.scheduled_count()) == (0, 1)


def test_next_attempt_waits_as_long_as_the_error_requires(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry-After and an open breaker delay it, up to the longest delay."""
    for error, seconds in (
        (BreakerOpen(12.0), 12.0),
        (Unavailable("rate limit exceeded (429)", 86_400), MAX_RETRY_DELAY),
    ):

        def fails(*_: object, error: Exception = error) -> Iterator[int]:
            raise error

        monkeypatch.setattr(sync, "sync_node", fails)
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        jobs.runners[SYNC].run("tank-01", {})
        (task,) = jobs.huey.pending()
        assert abs((task.eta.replace(tzinfo=UTC) - due).total_seconds()) < 5
        jobs.huey.flush()


def test_refused_sync_becomes_a_dead_letter_at_once(app: Flask, jobs: Jobs) -> None:
    """It is deleted when the node gets another channel or is deleted."""
    client = app.test_client()
    for change in (
        lambda: client.patch(f"{NODES}/tank-01", json={"channel_id": 5}),
        lambda: client.delete(f"{NODES}/tank-01"),
    ):
        client.patch(f"{NODES}/tank-01", json={"channel_id": 4711})
        jobs.runners[SYNC].queued_run("tank-01", {})
        assert run_tasks(jobs) == 1
        (letter,) = dead_letters(app)
        assert (letter.attempts, "-1" in letter.error) == (1, True)
        assert change().status_code < 300
        assert dead_letters(app) == []


def test_text_of_an_unexpected_error_is_only_logged(
    app: Flask, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The dead letter has its type, because the text may contain secrets."""
    with app.app_context():
        thingspeak = service_state().thingspeak
    monkeypatch.setattr(
        thingspeak,
        "feeds",
        lambda *_: (_ for _ in ()).throw(ValueError("a key")),
    )
    assert not jobs.runners[SYNC].run_all()
    assert dead_letters(app)[0].error == "ValueError"
    assert [
        bool(record.exc_info) for record in caplog.records if record.message == logs.JOB_FAILED
    ] == [True]


def test_node_that_another_worker_syncs_is_skipped(app: Flask, jobs: Jobs) -> None:
    """The worker that has the lease reports the outcome."""
    before = runs()
    with app.app_context(), leases.hold(f"{SYNC}/tank-01"):
        assert jobs.runners[SYNC].run_all()
    assert (runs(), stored(app)) == (before, 0)


def test_run_that_lost_its_lease_counts_as_neither_success_nor_failure(
    app: Flask, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that took over reports the outcome."""
    before = runs()
    monkeypatch.setattr(leases.Lease, "renew", lambda *_: False)
    assert jobs.runners[SYNC].run_all()
    assert (runs(), stored(app), dead_letters(app)) == (before, 0, [])


def test_deleted_node_is_no_failure(app: Flask, jobs: Jobs) -> None:
    """Its task may still be queued."""
    jobs.runners[SYNC].queued_run("nobody", {})
    assert run_tasks(jobs) == 1
    assert dead_letters(app) == []
