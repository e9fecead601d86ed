"""Runs of a task while the database or the queue is unavailable."""

import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.platform.jobs import leases, outbox
from api.platform.jobs.worker import Jobs
from api.platform.state import app_state
from api.platform.telemetry import error_reports, metrics
from observability.spec import names
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import ORDER, ORDERS, dead_letters
from tests.api.platform.other_app.orders import NOTIFY, SHIP, SHIPPING

LOCKED = OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked"))
FAILURES = [LOCKED, PoolTimeout("no connection"), sqlite3.OperationalError("database is locked")]


def refuse(error: Exception) -> Mock:
    return Mock(side_effect=error)


@pytest.fixture
def app(make_app: MakeApp, migrated: str, tmp_path: Path) -> Flask:
    """Return an app with a queue of its own and one order to ship."""
    assert migrated
    app = make_app(jobs_url=f"sqlite:///{tmp_path}/jobs.db", job_attempts=2, retry_seconds=60)
    assert app.test_client().post(ORDERS, json=ORDER).status_code == 201
    return app


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Return the function that reports unexpected errors to Sentry."""
    report = Mock()
    monkeypatch.setattr(error_reports, "report", report)
    return report


def failed_runs(job: str) -> float:
    labels = {names.JOB: job, names.OUTCOME: "error"}
    return metrics.REGISTRY.get_sample_value(f"{names.JOB_RUNS}_total", labels) or 0.0


def work_and_fail(error: Exception) -> Iterator[int]:
    """Do a part of the work, then fail."""
    yield 1
    raise error


def execute(jobs: Jobs) -> None:
    """Execute one queued task, as a worker does."""
    task = jobs.huey.dequeue()
    assert task
    jobs.huey.execute(task)


@pytest.mark.parametrize("error", FAILURES, ids=repr)
@pytest.mark.parametrize("place", ["lease", "work", "dead letter"])
def test_unavailable_database_is_a_counted_failure(
    app: Flask,
    reports: Mock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    error: Exception,
) -> None:
    """Wherever a run meets it: one line, one count, a retry, no report of an unhandled error."""
    if place == "lease":
        monkeypatch.setattr(leases, "acquire", refuse(error))
    else:
        task = replace(SHIPPING, run=lambda *_: work_and_fail(error))
        app_state(app).tasks = (task,)
    if place == "dead letter":
        monkeypatch.setattr("api.platform.jobs.dead_letters.record", refuse(error))
    jobs = Jobs(app)
    before = failed_runs(SHIP)
    jobs.runners[SHIP].enqueue(ORDER["id"])
    execute(jobs)
    assert failed_runs(SHIP) == before + 1
    assert jobs.huey.pending_count() == 1
    assert not jobs.runners[SHIP].run(ORDER["id"], {}, retry=False)
    assert failed_runs(SHIP) == before + 2
    lines = [line for line in caplog.records if line.levelno >= logging.WARNING]
    assert [(line.getMessage(), line.exc_info) for line in lines] == [("job failed", False)] * 2
    assert reports.call_count == 0


def test_last_failure_becomes_a_dead_letter_when_the_database_is_back(
    app: Flask, reports: Mock
) -> None:
    """A database that was away during the work can be back for the dead letter."""
    app_state(app).tasks = (replace(SHIPPING, run=lambda *_: work_and_fail(LOCKED)),)
    assert not Jobs(app).runners[SHIP].run_all()
    assert [letter.error for letter in dead_letters(app)] == ["OperationalError"]
    assert reports.call_count == 0


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_deliveries_survive_an_unavailable_database(
    app: Flask,
    reports: Mock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    """They are tried again a second later."""
    monkeypatch.setattr(outbox, "deliver_next", refuse(error))
    jobs = Jobs(app)
    before = failed_runs(NOTIFY)
    jobs.deliver({})
    execute(jobs)
    assert failed_runs(NOTIFY) == before + 1
    lines = [line for line in caplog.records if line.levelno >= logging.WARNING]
    assert [(line.getMessage(), line.exc_info) for line in lines] == [("job failed", None)]
    assert reports.call_count == 0
