"""Jobs that fail because of data or servers of others, read from the log of the worker."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from observability.lib.json_object import Json
from observability.spec import names

LOG_LINES = 2_000  # of the worker, newest last
JobFailures = list["JobFailure"]


@dataclass(frozen=True)
class JobFailure:
    """The last run of a job for a subject, which failed."""

    job: str
    subject: str
    error: str

    def __str__(self) -> str:
        return (
            f"{self.job} fails for {self.subject}: {self.error}; `make up` does not wait for it;"
            " fix: read make logs P=worker, and flask --app api.app jobs list"
        )


def job_failures(lines: Iterable[str], since: float) -> JobFailures:
    """Return the failed runs after `since`, Unix seconds, that no success followed.

    Failed deliveries before `since` count, too: the next attempt may be minutes away.
    """
    failures: dict[tuple[str, str], JobFailure] = {}
    for record in map(parse, lines):
        message = record.get("message")
        run = str(record.get("job")), str(record.get("key") or record.get("subject"))
        if message in (names.LOG_JOB_DONE, names.LOG_DELIVERED):
            failures.pop(run, None)
        elif message == names.LOG_DELIVERY_FAILED or (
            message == names.LOG_JOB_FAILED and timestamp(record) > since
        ):
            failures[run] = JobFailure(run[0], str(record["subject"]), str(record["error"]))
    return list(failures.values())


def parse(line: str) -> Json:
    """Return the fields of a JSON line; {} for text, such as that of the web server."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def timestamp(record: Json) -> float:
    """Return the time of a line in Unix seconds."""
    return datetime.fromisoformat(record["timestamp"]).timestamp()
