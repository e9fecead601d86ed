"""The job queue (huey) and the worker that runs its tasks.

The queue only announces work. The database has the state of the work (the outbox, dead letters,
leases, cursors of tasks), so no work is lost with a queue or a worker: it is announced again.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from huey import RedisHuey, SqliteHuey
from huey.consumer import Consumer, Scheduler
from huey.registry import Message
from huey.serializer import Serializer

QUEUE = "evara"
THREADS = 3  # as many as a host's bulkhead admits (api/platform/outbound/guarded_calls.py)
STOP_SECONDS = 20  # for running tasks after SIGTERM; supervisors kill after 25
TIMES = ("eta", "expires_resolved")  # fields of a message that hold a time or None


class JsonSerializer(Serializer):  # type: ignore[misc]  # huey has no types
    """Tasks as JSON: with pickle, anyone who can write to the queue could run code in workers."""

    def _serialize(self, data: Any) -> bytes:
        return orjson.dumps(list(data))

    def _deserialize(self, data: bytes) -> Any:
        message = Message(*orjson.loads(data))
        for name in TIMES:
            text = getattr(message, name)
            if text:
                message = message._replace(**{name: datetime.fromisoformat(text)})
        return message


def open_queue(url: str) -> Any:
    """Return the queue of EVARA_JOBS_URL: a SQLite file, or Redis when machines share it."""
    options = {"results": False, "serializer": JsonSerializer()}
    if url.startswith("sqlite"):
        return SqliteHuey(QUEUE, filename=url.removeprefix("sqlite:///"), **options)
    return RedisHuey(QUEUE, url=url, **options)


def create_worker(queue: Any, tick: Callable[[], None], stop: threading.Event) -> Any:
    """Return a huey consumer that also calls `tick` once a second.

    SIGTERM sets `stop`; run() returns when the running tasks have ended.
    """

    class TickingScheduler(Scheduler):  # type: ignore[misc]  # huey has no types
        def loop(self, now: Any = None) -> None:
            tick()
            super().loop(now)

    class Worker(Consumer):  # type: ignore[misc]
        scheduler_class = TickingScheduler

    logging.getLogger("huey").setLevel(logging.WARNING)  # at INFO it writes a line every second
    worker = Worker(
        queue,
        THREADS,
        periodic=False,
        max_delay=0.5,
        graceful_signal="TERM",
        shutdown_timeout=STOP_SECONDS,
    )
    worker.stop_flag = stop
    return worker
