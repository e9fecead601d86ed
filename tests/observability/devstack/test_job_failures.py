"""Failed runs of jobs in the log of the worker."""

import json
from datetime import UTC, datetime
from typing import Any

from observability.devstack.job_failures import job_failures

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def line(message: str, job: str, subject: str, minute: int = 1, **fields: Any) -> str:
    """Return a line of the worker that many minutes after START."""
    time = START.replace(minute=minute).isoformat()
    record = {"message": message, "job": job, "subject": subject, "timestamp": time}
    return json.dumps(record | {"error": "no access"} | fields)


def subjects(*lines: str) -> list[str]:
    """Return the subjects of the failures after START."""
    return [failure.subject for failure in job_failures(lines, START.timestamp())]


def test_the_last_run_of_a_subject_counts() -> None:
    """A success after a failure ends it; a failure after a success does not."""
    done, failed = line("job done", "sync", "a"), line("job failed", "sync", "a")
    assert subjects(failed, done) == []
    assert subjects(done, failed) == ["a"]
    assert subjects(failed, failed, line("job failed", "sync", "b")) == ["a", "b"]
    assert subjects(failed, line("job done", "other", "a")) == ["a"]


def test_runs_before_the_start_do_not_count() -> None:
    """A failed delivery does: its next attempt may be minutes away."""
    assert subjects(line("job failed", "sync", "a", minute=0)) == []
    old = line("delivery failed", "alarms", "a", minute=0, key="1")
    assert subjects(old) == ["a"]
    assert subjects(old, line("delivered", "alarms", "a", key="2")) == ["a"]
    assert subjects(old, line("delivered", "alarms", "a", key="1")) == []


def test_other_lines_are_ignored() -> None:
    """The worker's output also has text, numbers and lines of libraries."""
    assert subjects("Traceback", "12", "[]", line("breaker changed", "sync", "a")) == []


def test_a_failure_says_what_failed_and_where_to_look() -> None:
    """Job, subject, reason and log."""
    [failure] = job_failures([line("job failed", "sync", "a")], START.timestamp())
    assert str(failure).startswith("sync fails for a: no access;")
    assert "make logs P=worker" in str(failure)
