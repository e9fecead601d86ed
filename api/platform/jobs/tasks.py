"""Tasks: the jobs that an app registers, each run once per subject and period."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flask import Flask
from sqlalchemy.orm import Session

from api.platform.jobs.leases import Lease
from api.platform.state import app_state
from observability.spec.plan import Plan


class LeaseLost(Exception):
    """Another worker has the lease: this one stalled for too long and must stop."""


class Unfinished(Exception):
    """The deadline came before the end; the next run resumes where this one stopped."""


@dataclass(frozen=True)
class Task:
    """A job for each of the subjects that `subjects` returns.

    `run` yields the number of new rows after each commit. It may raise LeaseLost and Unfinished.
    """

    name: str  # of the job in the catalogue
    queue_name: str  # of the task in the queue
    every: float  # seconds between two runs for a subject
    subjects: Callable[[Session], list[str]]
    run: Callable[[str, Lease], Iterator[int]]
    measure: Callable[[Session], None]  # sets the gauges of the job


def init_app(app: Flask, plan: Plan, tasks: tuple[Task, ...] = (), deliveries: str = "") -> None:
    """Register the tasks, and the catalogue's job that sends the outbox, if there is one.

    RuntimeError when the catalogue and the app do not name the same jobs.
    """
    state = app_state(app)
    state.tasks = tasks
    state.delivery_job = deliveries
    state.job_names = {*(task.name for task in tasks), deliveries} - {""}
    if state.job_names != set(plan.jobs):
        raise RuntimeError(
            f"the app registers the jobs {sorted(state.job_names)}, but catalogue.yaml declares"
            f" {sorted(plan.jobs)}: make them the same"
        )
