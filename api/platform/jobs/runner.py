"""The runs of a task: attempts under a lease and a deadline, retries, and dead letters."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from flask import Flask

from api.platform import db
from api.platform.db import database
from api.platform.jobs import dead_letters, leases
from api.platform.jobs.leases import Lease
from api.platform.jobs.retries import retry_delay
from api.platform.jobs.tasks import LeaseLost, Task, Unfinished
from api.platform.outbound.circuit_breaker import CallError
from api.platform.outbound.deadlines import deadline
from api.platform.state import app_state
from api.platform.telemetry import error_reports, logs, metrics, request_context, tracing
from api.platform.types import Headers

MIN_EXPIRES = 60.0  # seconds that a run may wait in the queue, unless its period is longer
# The database, or the file of the queue, is locked, full or unreachable: a run can fail of it at
# any point, which is counted and logged, but no error of the code.
UNAVAILABLE = (*db.UNAVAILABLE, sqlite3.OperationalError)
log = logging.getLogger(__name__)


@contextmanager
def run_context(app: Flask, lease_name: str, headers: Headers) -> Iterator[Lease | None]:
    """Run a block in the app context and the request context of `headers`, holding a lease.

    Yield None when another worker has the lease.
    """
    with app.app_context():
        try:
            with request_context.activate(headers), leases.hold(lease_name) as lease:
                yield lease
        except UNAVAILABLE:
            raise  # the caller counts and logs it
        except Exception as error:
            error_reports.report(error)
            raise


class Runner:
    """The runs of one task: from the queue (`enqueue`) or immediately (`run_all`)."""

    def __init__(self, app: Flask, queue: Any, task: Task, stop: threading.Event):
        self.task = task
        self.next_enqueue_at = 0.0  # monotonic seconds
        self.queued_run = queue.task(name=task.queue_name)(self.run)
        self._app = app
        self._queue = queue
        self._stop = stop

    def run(self, subject: str, headers: Headers, attempt: int = 1, retry: bool = True) -> bool:
        """Run one attempt; return False when it failed, or is unfinished and `retry` is false.

        With `retry`, queue the next run of an attempt that failed or reached its deadline. A
        failure that no retry follows becomes a dead letter. A run that another worker has taken
        over counts as done.
        """
        try:
            return self._attempt(subject, headers, attempt, retry)
        except UNAVAILABLE as error:
            with self._app.app_context(), request_context.activate(headers):
                self._handle_failure(error, subject, attempt, retry)
            return False

    def _attempt(self, subject: str, headers: Headers, attempt: int, retry: bool) -> bool:
        """Run one attempt as `run` does; raise when the database is unavailable."""
        name = self.task.name
        with run_context(self._app, f"{name}/{subject}", headers) as lease:
            if lease is None:
                return True
            started = time.perf_counter()
            fields = {"job": name, "subject": subject, "attempt": attempt}
            try:
                stored, finished = self._work(subject, lease)
                if finished:
                    with database().write() as session:
                        dead_letters.resolve(session, name, subject)
                elif retry:  # the same attempt, because this run made progress
                    self._schedule(subject, attempt, retry_delay(1))
            except LeaseLost:
                log.warning("job lost its lease", extra=fields)
                return True  # the worker that has the lease reports the outcome
            except UNAVAILABLE:
                raise
            except Exception as error:
                self._handle_failure(error, subject, attempt, retry)
                return False
            seconds = round(time.perf_counter() - started, 2)
            fields |= {"stored": stored, "seconds": seconds, "finished": finished}
            metrics.JOB_RUNS.labels(name, "ok").inc()
            log.info(logs.JOB_DONE, extra=fields | request_context.usage_fields())
            return finished or retry

    def _work(self, subject: str, lease: Lease) -> tuple[int, bool]:
        """Return the number of new rows, and whether the work is finished.

        It is unfinished when the deadline is reached or the worker stops.
        """
        stored = 0
        with tracing.job(self.task.name), deadline(app_state().settings.job_deadline):
            try:
                for new in self.task.run(subject, lease):
                    stored += new
                    if self._stop.is_set():
                        return stored, False
            except Unfinished:
                return stored, False
        return stored, True

    def _schedule(self, subject: str, attempt: int, delay: float) -> None:
        """Queue a run in `delay` seconds that continues the current context."""
        arguments = (subject, request_context.outbound_headers(), attempt)
        self.queued_run.schedule(args=arguments, delay=delay)

    def _handle_failure(self, error: Exception, subject: str, attempt: int, retry: bool) -> None:
        """Report a failed attempt; queue the next one if it may help, else write a dead letter."""
        name = self.task.name
        text = type(error).__name__  # the text of an unexpected error may hold secrets
        may_retry = retry and attempt < app_state().settings.job_attempts
        if isinstance(error, CallError):
            text = str(error)
            may_retry &= not error.permanent
        is_expected = isinstance(error, (CallError, *UNAVAILABLE))
        if not is_expected:
            error_reports.report(error)
        metrics.JOB_RUNS.labels(name, "error").inc()
        fields = {"job": name, "subject": subject, "attempt": attempt, "error": text}
        fields |= request_context.usage_fields()
        log.warning(logs.JOB_FAILED, extra=fields, exc_info=not is_expected)
        with suppress(*UNAVAILABLE):  # the schedule runs the subject again in any case
            if may_retry:
                self._schedule(subject, attempt + 1, retry_delay(attempt, error))
                return
            with database().write() as session:
                dead_letters.record(session, name, subject, text, attempt, {})

    def _subjects(self) -> list[str]:
        with database().read() as session:
            return self.task.subjects(session)

    def run_all(self) -> bool:
        """Run every subject once, without retries; return whether all of them finished."""
        with self._app.app_context():
            results = [self.run(subject, {}, retry=False) for subject in self._subjects()]
        return all(results)

    def enqueue(self, subject: str) -> None:
        """Queue a run with a new request context.

        It is dropped when it has waited for longer than the period of the task.
        """
        expires = max(MIN_EXPIRES, self.task.every)
        with request_context.activate({}) as context:
            self.queued_run(subject, context.outbound_headers(), expires=expires)

    def enqueue_all(self) -> None:
        """Queue a run of each subject that has neither a pending nor a scheduled one."""
        subjects = self._subjects()
        if not subjects:
            return
        self.next_enqueue_at = time.monotonic() + self.task.every
        entries = [*self._queue.pending(), *self._queue.scheduled()]
        # A second run of a subject would crowd out the retries of those that fail.
        queued = {entry.args[0] for entry in entries if entry.name == self.task.queue_name}
        for subject in set(subjects) - queued:
            self.enqueue(subject)
