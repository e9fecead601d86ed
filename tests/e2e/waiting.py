"""Waiting for servers."""

import time
from collections.abc import Callable

import httpx

from observability.lib.http import Unreachable

DEADLINE = 120.0  # a rule's evaluation and a ticket's group_wait are 30 s each


def eventually(true: Callable[[], bool], seconds: float = DEADLINE) -> bool:
    """Polls until it is true; errors of servers that are just starting count as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if true():
                return True
        except (httpx.HTTPError, OSError, Unreachable):
            pass
        time.sleep(0.25)
    return False
