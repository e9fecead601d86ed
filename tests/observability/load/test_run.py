"""Runs of Locust: timeouts, and hosts that do not respond."""

import sys
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
def test_an_unreachable_host_names_the_fix(layout: StackLayout, host: str, words: str) -> None:
    """`make up` starts only the stack's own API."""
    with pytest.raises(run.LoadRunFailed, match="nothing answers at") as caught:
        run.LoadProfile(1, 1, "1s", host).check(layout)
    assert str(caught.value).endswith(words)


def test_a_locust_that_overruns_its_time_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: StackLayout
) -> None:
    """The error has its last lines of output."""
    script = "import time; print('still running', flush=True); time.sleep(60)"
    monkeypatch.setattr(run, "OVERTIME_SECONDS", 0.5)
    monkeypatch.setattr(run, "locust_command", lambda *_: [sys.executable, "-c", script])
    with pytest.raises(run.LoadRunFailed, match="without a verdict: still running"):
        run.run_locust(layout, run.LoadProfile(1, 1, "1s", "http://x"), tmp_path)
