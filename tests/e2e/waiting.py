"""Waits for servers."""

import time
from collections.abc import Callable

import httpx

from observability.lib.http import Unreachable

DEADLINE = 120.0  # a rule's evaluation and a ticket's group_wait are 30 s each


def eventually(is_true: Callable[[], bool], seconds: float = DEADLINE) -> bool:
    """Return whether the condition becomes true; errors of starting servers count as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if is_true():
                return True
        except (httpx.HTTPError, OSError, Unreachable):
            pass
        time.sleep(0.25)
    return False
