"""The jobs of the API: the tasks `sync` and `deliver`, and the schedule by which they are queued.

Of all workers one leads: it queues what is due. The threads of every worker run the tasks.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx
from flask import Flask
from sqlalchemy.orm import Session

from api.config import Settings
from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs import dead_letters, leases, outbox
from api.platform.jobs.dead_letters import DELIVERIES, SYNC
from api.platform.jobs.leases import Leadership, Lease
from api.platform.jobs.queue import create_worker, open_queue
from api.platform.jobs.retries import retry_delay, retry_delay_after
from api.platform.outbound.circuit_breaker import CallRefused
from api.platform.outbound.deadlines import deadline
from api.platform.state import app_state
from api.platform.telemetry import error_reports, metrics, request_context, tracing
from api.services import sync
from api.services.state import service_state
from api.services.thingspeak import NoAccess, ThingSpeakError

EXPECTED_ERRORS = (ThingSpeakError, CallRefused)  # of a sync
DELIVER_EXPIRES = 5.0  # seconds; the schedule queues it again every second
SYNC_EXPIRES = 60.0  # seconds at least, else the interval between syncs
log = logging.getLogger(__name__)


class Jobs:
    """The tasks of one app, and the worker that runs them."""

    def __init__(self, app: Flask):
        self.app = app
        self.settings = cast(Settings, app_state(app).settings)
        self.huey = open_queue(self.settings.jobs_url)
        self.sync = self.huey.task(name="sync")(self._sync)
        self.deliver = self.huey.task(name="deliver")(self._deliver)
        self.thingspeak = service_state(app).thingspeak
        self.webhook = httpx.Client(timeout=outbox.TIMEOUT)
        self._leadership = Leadership(self.settings.lease_seconds / 4)
        self._sync_at = 0.0  # monotonic seconds
        self._stop = threading.Event()

    @contextmanager
    def _run(self, name: str, headers: dict[str, str]) -> Iterator[Lease | None]:
        """Run a block in the context of the app and of the headers, under the lease of that name.

        Yield None when another worker has the lease.
        """
        with self.app.app_context():
            try:
                with request_context.activate(headers), leases.hold(name) as lease:
                    yield lease
            except Exception as error:
                error_reports.report(error)
                raise

    def _sync(
        self, node_id: str, headers: dict[str, str], attempt: int = 1, retry: bool = True
    ) -> bool:
        """Sync one node; return False when the attempt failed or, without `retry`, is unfinished.

        With `retry`, queue the next run of an attempt that failed or reached its deadline. A
        failure that no retry follows becomes a dead letter.
        """
        with self._run(f"{SYNC}/{node_id}", headers) as lease:
            if lease is None:
                return True
            started = time.perf_counter()
            fields = {"job": SYNC, "node": node_id, "attempt": attempt}
            try:
                progress = self._pull(node_id, lease)
                if progress is None:
                    return True  # the worker stops; the next one resumes at the cursor
                stored, finished = progress
                if finished:
                    with database().write() as session:
                        dead_letters.resolve(session, SYNC, node_id)
                elif retry:  # the same attempt: the host answers, it only has much to send
                    self._schedule_sync(node_id, attempt, retry_delay(1))
            except sync.LeaseLost:
                log.warning("sync lost its lease", extra=fields)
                return True  # the worker that has the lease reports the outcome
            except Exception as error:
                self._handle_failure(error, node_id, attempt, retry)
                return False
            seconds = round(time.perf_counter() - started, 2)
            fields |= {"stored": stored, "seconds": seconds, "finished": finished}
            metrics.JOB_RUNS.labels(SYNC, "ok").inc()
            log.info("job done", extra=fields | request_context.usage_fields())
            return finished or retry

    def _pull(self, node_id: str, lease: Lease) -> tuple[int, bool] | None:
        """Store the node's new readings; return how many, and whether none are left.

        Return None when the worker is stopping.
        """
        stored = 0
        with tracing.job(SYNC), deadline(self.settings.job_deadline):
            try:
                for new in sync.sync_node(self.thingspeak, node_id, lease):
                    stored += new
                    metrics.REGISTRY.by_name["evara_job_stored_readings"].labels(SYNC).inc(new)
                    if self._stop.is_set():
                        return None
            except sync.SyncUnfinished:
                return stored, False
        return stored, True

    def _schedule_sync(self, node_id: str, attempt: int, delay: float) -> None:
        """Queue a run of the sync in `delay` seconds that continues the current context."""
        arguments = (node_id, request_context.outbound_headers(), attempt)
        self.sync.schedule(args=arguments, delay=delay)

    def _handle_failure(self, error: Exception, node_id: str, attempt: int, retry: bool) -> None:
        """Report a failed attempt; queue the next one if it may help, else write a dead letter."""
        expected = isinstance(error, EXPECTED_ERRORS)
        text = type(error).__name__  # the text of an unexpected error may hold secrets
        if expected:
            text = str(error)
        else:
            error_reports.report(error)
        metrics.JOB_RUNS.labels(SYNC, "error").inc()
        fields = {"job": SYNC, "node": node_id, "attempt": attempt, "error": text}
        fields |= request_context.usage_fields()
        log.warning("sync failed", extra=fields, exc_info=not expected)
        if retry and attempt < self.settings.job_attempts and not isinstance(error, NoAccess):
            self._schedule_sync(node_id, attempt + 1, retry_delay_after(error, attempt))
            return
        with database().write() as session:
            dead_letters.record(session, SYNC, node_id, text, attempt)

    def _deliver(self, headers: dict[str, str]) -> None:
        """Send the deliveries of the outbox that are due."""
        with self._run(DELIVERIES, headers) as lease:
            if lease is None:
                return
            while not self._stop.is_set():
                if outbox.deliver_next(self.webhook, lease) is None:
                    return

    def sync_now(self) -> bool:
        """Sync every node once, without retries; return whether all reached their end."""
        with self.app.app_context(), database().read() as session:
            node_ids = sync.synced_node_ids(session)
        results = [self._sync(node_id, {}, retry=False) for node_id in node_ids]
        return all(results)

    def enqueue(self, task: Any, *arguments: str, expires: float) -> None:
        """Queue a task with a new request context; it is skipped after `expires` seconds."""
        with request_context.activate({}) as context:
            task(*arguments, context.outbound_headers(), expires=expires)

    def tick(self) -> None:
        """Renew leases and, as the leader, queue what is due and measure; called once a second.

        Failures are logged and reported, not raised.
        """
        with self.app.app_context():
            try:
                if self._leadership.is_held():
                    self._enqueue_due()
                    measure()
            except Exception as error:
                log.exception("scheduling failed")
                error_reports.report(error)

    def _enqueue_due(self) -> None:
        with database().read() as session:
            is_delivery_due = outbox.next_due(session) is not None
            node_ids: list[str] = []
            if time.monotonic() >= self._sync_at:
                node_ids = sync.synced_node_ids(session)
        if is_delivery_due:
            self.enqueue(self.deliver, expires=DELIVER_EXPIRES)
        if not node_ids:
            return
        self._sync_at = time.monotonic() + self.settings.sync_every
        expires = max(SYNC_EXPIRES, self.settings.sync_every)
        # A second task for a node would crowd out the retries of those that fail.
        for node_id in set(node_ids) - self._queued_node_ids():
            self.enqueue(self.sync, node_id, expires=expires)

    def _queued_node_ids(self) -> set[str]:
        """Return the ids of the nodes of which a sync is in the queue, now or for later."""
        tasks = [*self.huey.pending(), *self.huey.scheduled()]
        return {task.args[0] for task in tasks if task.name == "sync"}

    def work(self) -> None:
        """Run tasks until SIGTERM, then let the running ones end."""
        worker = create_worker(self.huey, self.tick)
        self._stop = worker.stop_flag
        worker.run()
        with self.app.app_context():
            self._leadership.release()


def measure() -> None:
    """Set the gauges of jobs from what the database says."""
    with database().read() as session:
        measure_sync(session)
        measure_deliveries(session)
        for task, count in dead_letters.counts(session).items():
            metrics.DEAD_LETTERS.labels(task).set(count)


def measure_sync(session: Session) -> None:
    """Set since when every node is synced, and how far the one furthest behind is synced."""
    synced_since = sync.synced_since(session)
    if synced_since:
        metrics.JOB_LAST_SUCCESS.labels(SYNC).set(synced_since.timestamp())
    oldest_cursor = sync.furthest_behind(session)
    if oldest_cursor:
        metrics.REGISTRY.by_name["evara_job_reached_timestamp_seconds"].labels(SYNC).set(
            oldest_cursor.timestamp()
        )


def measure_deliveries(session: Session) -> None:
    """Set the number of deliveries that wait, and since when the oldest of them does, or now."""
    count, oldest = outbox.backlog(session)
    waiting_since = oldest or now()
    metrics.DELIVERIES_PENDING.set(count)
    metrics.JOB_LAST_SUCCESS.labels(DELIVERIES).set(waiting_since.timestamp())
