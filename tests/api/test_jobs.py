"""Jobs: counted, logged, and alive after every failure."""

import threading
from datetime import UTC, datetime

import pytest
from flask import Flask

from api import jobs, telemetry
from api.services.sync import Outcome
from observability import conventions as names
from tests.api.helpers import sample


def counters() -> list[float]:
    runs = [
        sample(telemetry.REGISTRY, f"{names.JOB_RUNS}_total", **{names.JOB: jobs.SYNC, names.OUTCOME: outcome})
        for outcome in names.OUTCOMES
    ]
    return [*runs, sample(telemetry.REGISTRY, f"{names.JOB_STORED}_total", **{names.JOB: jobs.SYNC})]


def last_success() -> float:
    return telemetry.REGISTRY.get_sample_value(names.JOB_LAST_SUCCESS, {names.JOB: jobs.SYNC}) or 0.0


def raising() -> Outcome:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("work", "ok", "change"),
    [
        (lambda: Outcome(2, 7, ()), True, [1, 0, 7]),
        (lambda: Outcome(2, 3, ("n1",)), False, [0, 1, 3]),
        (raising, False, [0, 1, 0]),
    ],
    ids=["all synced", "a node failed", "an exception"],
)
@pytest.mark.usefixtures("app")
def test_a_run_is_counted(work: object, ok: bool, change: list[float]) -> None:
    """Runs by outcome and stored readings are counted, and only a run without any failure is a success."""
    before, success = counters(), last_success()
    assert jobs.run(jobs.SYNC, work) is ok  # type: ignore[arg-type]
    assert [new - old for new, old in zip(counters(), before, strict=True)] == change
    assert (last_success() > success) is ok


def test_it_runs_until_it_is_stopped(app: Flask) -> None:
    """Runs follow each other, also after failures, and none starts after the stop."""
    stop, runs = threading.Event(), []

    def work() -> Outcome:
        runs.append(len(runs))
        if len(runs) == 2:
            raise ZeroDivisionError
        if len(runs) == 4:
            stop.set()
        return Outcome(0, 0, ())

    jobs.run_forever(app, jobs.SYNC, work, 0.0, stop)
    assert runs == [0, 1, 2, 3]


def test_how_far_a_sync_reached_is_exposed() -> None:
    """The newest reading of the node that is furthest behind, as a Unix time."""
    reached = datetime(2026, 1, 2, tzinfo=UTC)
    assert jobs.run(jobs.SYNC, lambda: Outcome(2, 0, (), reached))
    assert telemetry.REGISTRY.get_sample_value(names.JOB_REACHED, {names.JOB: jobs.SYNC}) == reached.timestamp()
