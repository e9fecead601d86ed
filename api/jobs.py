"""Work outside requests: one worker leads and asks for what is due, huey's threads of all workers do it.

The queue only carries work about. What is owed stands in the database (how far nodes are synced, the outbox, dead letters, leases),
so a queue or a worker that is lost loses nothing: what it had is asked for again.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import httpx
import orjson
from flask import Flask
from huey import RedisHuey, SqliteHuey
from huey.consumer import Consumer, Scheduler
from huey.registry import Message
from huey.serializer import Serializer

from api.models import now
from api.platform.db import database
from api.platform.jobs import dead_letters, leases
from api.platform.jobs.dead_letters import DELIVERIES, SYNC
from api.platform.outbound.circuit_breaker import CallRefused
from api.platform.outbound.guarded_calls import deadline
from api.platform.state import app_state
from api.platform.telemetry import error_reports, metrics, request_context, tracing
from api.services import notifications, sync
from api.services.state import service_state
from api.services.thingspeak import NoAccess, ThingSpeakError

THREADS = (
    3  # no more than the bulkhead of a host lets through (api/platform/outbound/guarded_calls.py)
)
STOP_SECONDS = 20  # for what is being done at SIGTERM; supervisors kill after 25
log = logging.getLogger(__name__)


class Json(Serializer):  # type: ignore[misc]  # huey has no types
    """Tasks as JSON: with pickle, whoever can write to the queue could make workers run code."""

    def _serialize(self, data: Any) -> bytes:
        return orjson.dumps(list(data))

    def _deserialize(self, data: bytes) -> Any:
        message = Message(*orjson.loads(data))
        times = {
            key: datetime.fromisoformat(found)
            for key in ("eta", "expires_resolved")
            if (found := getattr(message, key))
        }
        return message._replace(**times)


def queue(url: str) -> Any:
    """The queue of EVARA_JOBS_URL: a SQLite file on one machine, Redis between machines."""
    options = {"results": False, "serializer": Json()}
    if url.startswith("sqlite"):
        return SqliteHuey("evara", filename=url.removeprefix("sqlite:///"), **options)
    return RedisHuey("evara", url=url, **options)


class Jobs:
    """The tasks of one app, and the worker that does them."""

    def __init__(self, app: Flask):
        self.app = app
        self.settings = app_state(app).settings
        self.huey = queue(self.settings.jobs_url)
        self.sync = self.huey.task(name="sync")(self._sync)
        self.deliver = self.huey.task(name="deliver")(self._deliver)
        self.thingspeak = service_state(app).thingspeak
        self.webhook = httpx.Client(timeout=notifications.TIMEOUT)
        self._lead: leases.Lease | None = None
        self._renew_at = self._sync_at = 0.0  # monotonic seconds
        self._stop = threading.Event()

    @contextmanager
    def _work(self, name: str, headers: dict[str, str]) -> Iterator[leases.Lease | None]:
        """The app, the identity and the lease of a piece of work; None when another worker is at it."""
        with self.app.app_context(), request_context.activate(headers), leases.hold(name) as lease:
            yield lease

    def _sync(
        self, node_id: str, headers: dict[str, str], attempt: int = 1, again: bool = True
    ) -> bool:
        """One attempt at one node; False unless it reached the end. `again`: another follows while that may help; then a dead letter."""
        with self._work(f"{SYNC}/{node_id}", headers) as lease:
            if lease is None:
                return True
            started, stored, finished = time.perf_counter(), 0, False
            context = {"job": SYNC, "node": node_id, "attempt": attempt}
            try:
                with (
                    tracing.job(SYNC),
                    deadline(self.settings.job_deadline),
                    suppress(sync.SyncUnfinished),
                ):
                    for fresh in sync.sync_node(self.thingspeak, node_id, lease):
                        stored += fresh
                        metrics.JOB_STORED.labels(SYNC).inc(fresh)
                        if self._stop.is_set():
                            return True  # what is missing is fetched after the next start
                    finished = True
                if finished:
                    with database().write() as session:
                        dead_letters.resolve(session, SYNC, node_id)
                elif again:  # with the same attempt: the host answers, there is only much of it
                    self.sync.schedule(
                        args=(node_id, request_context.outbound_headers(), attempt),
                        delay=notifications.retry_delay(1),
                    )
            except sync.LeaseLost:
                log.warning("sync lost its lease", extra=context)
                return True  # whoever has it says how it went
            except Exception as error:
                known = isinstance(error, ThingSpeakError | CallRefused)
                text = (
                    str(error) if known else type(error).__name__
                )  # others may hold what is nobody's business
                metrics.JOB_RUNS.labels(SYNC, "error").inc()
                log.warning(
                    "sync failed",
                    extra=context | {"error": text} | request_context.usage_fields(),
                    exc_info=not known,
                )
                if not known:
                    error_reports.report(error)
                if (
                    again
                    and attempt < self.settings.job_attempts
                    and not isinstance(error, NoAccess)
                ):
                    asked = (
                        getattr(error, "retry_after", None) or 0.0
                    )  # by the host's Retry-After, or until the breaker lets one through
                    delay = max(
                        notifications.retry_delay(attempt),
                        min(asked, notifications.MAX_RETRY_DELAY),
                    )
                    self.sync.schedule(
                        args=(node_id, request_context.outbound_headers(), attempt + 1), delay=delay
                    )
                    return False
                with database().write() as session:
                    dead_letters.record(session, SYNC, node_id, text, attempt)
                return False
            metrics.JOB_RUNS.labels(SYNC, "ok").inc()
            seconds = round(time.perf_counter() - started, 2)
            log.info(
                "job done",
                extra=context
                | {"stored": stored, "seconds": seconds, "finished": finished}
                | request_context.usage_fields(),
            )
            return finished or again

    def _deliver(self, headers: dict[str, str]) -> None:
        """Empties the outbox as far as it is due."""
        with self._work(DELIVERIES, headers) as lease:
            while (
                lease
                and not self._stop.is_set()
                and notifications.deliver_next(self.webhook, lease) is not None
            ):
                pass

    def sync_now(self) -> bool:
        """Every node once, here and now, without further attempts; True when all succeeded."""
        with self.app.app_context(), database().read() as session:
            found = sync.synced_node_ids(session)
        return False not in [self._sync(node_id, {}, again=False) for node_id in found]

    def ask(self, task: Any, *arguments: str, expires: float) -> None:
        """Puts a task into the queue, with ids of its own; who finds it later than `expires` seconds leaves it."""
        with request_context.activate({}) as made:
            task(*arguments, made.outbound_headers(), expires=expires)

    def tick(self) -> None:
        """Once a second: renews leases; the leader asks for what is due and measures what waits. Failures are logged, not raised."""
        try:
            with self.app.app_context():
                if self._leads():
                    self._enqueue()
                    measure()
        except Exception as error:
            log.exception("scheduling failed")
            error_reports.report(error)

    def _leads(self) -> bool:
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + self.settings.lease_seconds / 4
            held = leases.renew()
            if not self._lead or self._lead.owner not in held:
                self._lead = leases.acquire("scheduler")
        return self._lead is not None

    def _enqueue(self) -> None:
        with database().read() as session:
            waiting = notifications.next_due(session)
            found = sync.synced_node_ids(session) if time.monotonic() >= self._sync_at else []
        if waiting:
            self.ask(self.deliver, expires=5)
        if found:
            self._sync_at = time.monotonic() + self.settings.sync_every
            asked = [
                task.args[0]
                for task in (*self.huey.pending(), *self.huey.scheduled())
                if task.name == "sync"
            ]
            for node_id in set(found).difference(
                asked
            ):  # new tasks must not crowd out the later attempts of those that fail
                self.ask(self.sync, node_id, expires=max(60.0, self.settings.sync_every))

    def work(self) -> None:
        """Works until SIGTERM, and ends what it is at first."""
        jobs = self

        class Ticker(Scheduler):  # type: ignore[misc]  # huey has no types
            def loop(self, now: Any = None) -> None:
                jobs.tick()
                super().loop(now)

        class Worker(Consumer):  # type: ignore[misc]
            scheduler_class = Ticker

        logging.getLogger("huey").setLevel(
            logging.WARNING
        )  # its lines say less than ours, every second
        worker = Worker(
            self.huey,
            THREADS,
            periodic=False,
            max_delay=0.5,
            graceful_signal="TERM",
            shutdown_timeout=STOP_SECONDS,
        )
        self._stop = worker.stop_flag
        worker.run()
        if self._lead:
            with self.app.app_context():
                leases.release(self._lead)


def measure() -> None:
    """What the database says of jobs: as of when all of it was done, what waits, and what failed for good."""
    with database().read() as session:
        synced = sync.synced_since(session)
        furthest = sync.furthest_behind(session)
        waiting, oldest = notifications.backlog(session)
        dead = dead_letters.counts(session)
    if synced:
        metrics.JOB_LAST_SUCCESS.labels(SYNC).set(synced.timestamp())
    if furthest:
        metrics.JOB_REACHED.labels(SYNC).set(furthest.timestamp())
    metrics.JOB_LAST_SUCCESS.labels(DELIVERIES).set((oldest or now()).timestamp())
    metrics.DELIVERIES_PENDING.set(waiting)
    for task, number in dead.items():
        metrics.DEAD_LETTERS.labels(task).set(number)
