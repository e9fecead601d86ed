"""Periodic work outside requests: runs it, counts it, and survives its failures."""

import logging
import threading
import time
from collections.abc import Callable

from flask import Flask

from api import errors, identity, telemetry, tracing
from api.services.sync import Outcome

SYNC = "thingspeak.sync"
log = logging.getLogger(__name__)


def run(name: str, work: Callable[[], Outcome]) -> bool:
    """One run of a job, counted and logged; True when all of it succeeded. Exceptions are logged, not raised."""
    with identity.adopted({}):
        return attempt(name, work)


def attempt(name: str, work: Callable[[], Outcome]) -> bool:
    """The run itself, under an identity of its own."""
    started = time.perf_counter()
    try:
        with tracing.job(name):
            outcome = work()
    except Exception as error:
        log.exception("job failed", extra={"job": name, **identity.spent()})
        errors.report(error)
        telemetry.JOB_RUNS.labels(name, "error").inc()
        return False
    ok = not outcome.failed
    telemetry.JOB_RUNS.labels(name, "ok" if ok else "error").inc()
    telemetry.JOB_STORED.labels(name).inc(outcome.stored)
    if outcome.reached:
        telemetry.JOB_REACHED.labels(name).set(outcome.reached.timestamp())
    if ok:
        telemetry.JOB_LAST_SUCCESS.labels(name).set_to_current_time()
    seconds = round(time.perf_counter() - started, 2)
    line = {"job": name, "ok": ok, "seconds": seconds, "stored": outcome.stored, "failed": outcome.failed}
    log.info("job done", extra=line | identity.spent())
    return ok


def run_forever(app: Flask, name: str, work: Callable[[], Outcome], every: float, stop: threading.Event) -> None:
    """Starts a run every `every` seconds until `stop` is set; a long run makes the next one late, never parallel."""
    while not stop.is_set():
        due = time.monotonic() + every
        with app.app_context():
            run(name, work)
        stop.wait(max(0.0, due - time.monotonic()))
