"""Runs of Locust: their progress, and what helps when the host does not answer."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from observability.devstack.layout import StackLayout, stack_ports
from observability.load import run

CLOSED = 1  # a port at which nothing listens


@pytest.fixture
def layout(tmp_path: Path) -> StackLayout:
    return StackLayout(tmp_path, stack_ports() | {"api": CLOSED}, tmp_path)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("http://127.0.0.1:1", "start it with: make up"),
        ("http://127.0.0.2:1", "is the address right?"),
        ("http://", "is the address right?"),
    ],
)
def test_silence_is_answered_with_what_can_help(layout: StackLayout, host: str, words: str) -> None:
    """`make up` starts the stack's own API, and no other."""
    with pytest.raises(run.LoadRunFailed, match="nothing answers at") as caught:
        run.LoadProfile(1, 1, "1s", host).check(layout)
    assert str(caught.value).endswith(words)


class Slow:
    """A Locust that says goodbye for longer than its time."""

    def __init__(self, clock: Iterator[float]):
        self.clock = clock

    def wait(self, timeout: float) -> int:
        if next(self.clock) < 30:
            raise subprocess.TimeoutExpired("locust", timeout)
        return 0


def test_progress_is_told_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: StackLayout
) -> None:
    """The goodbyes after the end are no progress."""
    now = [0.0]

    def later() -> Iterator[float]:
        while True:
            now[0] += 5
            yield now[0]

    progress: list[str] = []
    clock = later()
    monkeypatch.setattr(run.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(run.subprocess, "Popen", lambda *_, **__: Slow(clock))
    with pytest.raises(run.LoadRunFailed, match="without a verdict"):
        run.run_locust(layout, run.LoadProfile(1, 1, "10s", "http://x"), tmp_path, progress.append)
    assert progress[1:] == ["5 of 10 s", "10 of 10 s"]
