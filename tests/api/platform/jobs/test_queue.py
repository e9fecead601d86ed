"""The queue in SQLite and in Redis."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.platform.jobs.queue import open_queue


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_queue_preserves_tasks(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Both queues store JSON; arguments, delay and expiry come back unchanged."""
    url = f"sqlite:///{tmp_path}/own.db"
    if kind == "redis":
        url = request.getfixturevalue("redis_url")
    queue = open_queue(url)
    done: list[tuple[object, ...]] = []
    task = queue.task(name="remember")(lambda *arguments: done.append(arguments))
    task("tank-01", {"X-Request-ID": "asked-0001"}, 2, expires=60)
    task.schedule(args=("later",), delay=1000)
    assert all(message.startswith(b"[") for message in queue.storage.enqueued_items())

    for _ in range(2):  # the task, and putting the delayed one aside
        queue.execute(queue.dequeue())
    assert done == [("tank-01", {"X-Request-ID": "asked-0001"}, 2)]
    assert (queue.pending_count(), queue.scheduled_count()) == (0, 1)
    tonight = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=12)
    assert [delayed.args for delayed in queue.read_schedule(tonight)] == [["later"]]

    queue.enqueue(task.s("late", expires=-1))
    queue.execute(queue.dequeue())
    assert len(done) == 1, "an expired task ran"
