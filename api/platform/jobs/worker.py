"""The worker: its threads run the tasks of the queue; one worker, the leader, queues due tasks."""

import logging
import threading
import time

import httpx
from flask import Flask
from sqlalchemy.orm import Session

from api.platform.clock import now
from api.platform.db import database
from api.platform.jobs import dead_letters, outbox
from api.platform.jobs.leases import Leadership
from api.platform.jobs.queue import create_worker, open_queue
from api.platform.jobs.runner import UNAVAILABLE, Runner, run_context
from api.platform.state import app_state
from api.platform.telemetry import error_reports, logs, metrics, request_context
from api.platform.types import Headers

DELIVER = "deliver"  # name of the task in the queue
DELIVER_EXPIRES = 5.0  # seconds; the schedule queues it again every second
log = logging.getLogger(__name__)


class Jobs:
    """The tasks of one app, and the worker that runs them."""

    def __init__(self, app: Flask):
        state = app_state(app)
        self.app = app
        self.huey = open_queue(state.settings.jobs_url)
        self._stop = threading.Event()
        self.runners = {task.name: Runner(app, self.huey, task, self._stop) for task in state.tasks}
        self.deliver = self.huey.task(name=DELIVER)(self._deliver)
        self.webhook = httpx.Client(timeout=outbox.TIMEOUT)
        self.leadership = Leadership(state.settings.lease_seconds / 4)

    def _deliver(self, headers: Headers) -> None:
        """Send the deliveries of the outbox that are due; the next call goes on after a failure."""
        job = app_state(self.app).delivery_job
        try:
            with run_context(self.app, job, headers) as lease:
                if lease is None:
                    return
                while not self._stop.is_set():
                    if outbox.deliver_next(self.webhook, lease) is None:
                        return
        except UNAVAILABLE as error:
            metrics.JOB_RUNS.labels(job, "error").inc()
            log.warning(logs.JOB_FAILED, extra={"job": job, "error": type(error).__name__})

    def tick(self) -> None:
        """Renew leases and, as the leader, queue what is due and measure; called once a second.

        Failures are logged and reported, not raised.
        """
        with self.app.app_context():
            try:
                if self.leadership.is_held():
                    self._enqueue_due()
                    self._measure()
            except Exception as error:
                log.exception("scheduling failed")
                error_reports.report(error)

    def _enqueue_due(self) -> None:
        with database().read() as session:
            is_delivery_due = outbox.next_due(session) is not None
        if is_delivery_due:
            with request_context.activate({}) as context:
                self.deliver(context.outbound_headers(), expires=DELIVER_EXPIRES)
        for runner in self.runners.values():
            if time.monotonic() >= runner.next_enqueue_at:
                runner.enqueue_all()

    def _measure(self) -> None:
        """Set the gauges of jobs from the database."""
        with database().read() as session:
            for runner in self.runners.values():
                runner.task.measure(session)
            measure_deliveries(session)
            for job, count in dead_letters.counts(session).items():
                metrics.DEAD_LETTERS.labels(job).set(count)

    def work(self) -> None:
        """Run tasks until SIGTERM, then let the running ones end."""
        create_worker(self.huey, self.tick, self._stop).run()
        with self.app.app_context():
            self.leadership.release()


def measure_deliveries(session: Session) -> None:
    """Set the number of pending deliveries, and the creation time of the oldest, or now."""
    job = app_state().delivery_job
    if not job:
        return
    count, oldest = outbox.backlog(session)
    metrics.DELIVERIES_PENDING.set(count)
    metrics.JOB_LAST_SUCCESS.labels(job).set((oldest or now()).timestamp())
