"""Waits for other threads and processes."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 60, what: str = "it") -> None:
    """Return when the condition is true; fail if it is not after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)
