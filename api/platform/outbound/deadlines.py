"""The time that a request or a job may spend on calls to other hosts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from api.platform.outbound.circuit_breaker import CallRefused
from api.platform.state import app_state

_deadline: ContextVar[float | None] = ContextVar("evara_deadline", default=None)  # monotonic


class DeadlineExceeded(CallRefused):
    """The caller's deadline has passed, or came before the response."""

    reason = "deadline"
    status = 504


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End the outbound calls of a block after `seconds`, or at the present deadline if earlier."""
    token = _deadline.set(time.monotonic() + min(seconds, seconds_left()))
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float:
    """Return the seconds until the deadline: negative after it, infinite without one."""
    end = _deadline.get()
    if end is None:
        return float("inf")
    return end - time.monotonic()


def begin_deadline() -> None:
    """Start the time that the request has for its outbound calls."""
    _deadline.set(time.monotonic() + app_state().settings.request_deadline)


def end_deadline(_: BaseException | None) -> None:
    """Remove the deadline of the request."""
    _deadline.set(None)
