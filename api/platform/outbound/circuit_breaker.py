"""The circuit breaker of one process: pybreaker's states, with one trial call at a time."""

import logging
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pybreaker

from api.platform.telemetry import metrics

FAILURES = 5  # in a row, until it opens
OPEN_SECONDS = 15.0  # until one trial may pass
log = logging.getLogger(__name__)


class CallRefused(Exception):
    """A call not made, or not waited for; has our caller's status and Retry-After in seconds."""

    reason, status, retry_after = "", 503, 1.0


class BreakerOpen(CallRefused):
    """The host failed several times in a row and is left alone for a while."""

    reason = "breaker"

    def __init__(self, wait: float):
        super().__init__("it failed several times in a row and is left alone for a while")
        self.retry_after = max(self.retry_after, wait)


class Watcher(pybreaker.CircuitBreakerListener):
    """A listener that reports each change of state as metric and log line."""

    def state_change(self, cb: pybreaker.CircuitBreaker, old_state: Any, new_state: Any) -> None:
        metrics.BREAKER.labels(cb.name).set(metrics.BREAKER_STATES[new_state.name])
        log.warning(
            "breaker changed",
            extra={
                "dependency": cb.name,
                "was": old_state and old_state.name,
                "is": new_state.name,
            },
        )


class Failure(Exception):
    """The failed call that pybreaker counts."""


def fail() -> None:
    raise Failure


class Breaker:
    """pybreaker's states without its lock around the call, and with exactly one trial when half open."""

    def __init__(
        self,
        name: str,
        failures: int = FAILURES,
        seconds: float = OPEN_SECONDS,
    ):
        self._storage = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
        self._machine = pybreaker.CircuitBreaker(
            failures,
            seconds,
            state_storage=self._storage,
            listeners=[Watcher()],
            name=name,
            throw_new_error_on_trip=False,
        )
        self._lock = threading.Lock()
        self._trying = False

    def enter(self) -> bool:
        """Return True if the call is the trial; raise BreakerOpen when no call may be made."""
        with self._lock:
            state = self._machine.state.name
            if state == pybreaker.STATE_CLOSED:
                return False
            wait = self._wait() if state == pybreaker.STATE_OPEN else 0.0
            if wait > 0 or self._trying:
                raise BreakerOpen(wait)
            self._trying = True
            self._machine.half_open()
            return True

    def leave(self, trial: bool, ok: bool | None) -> None:
        """Count the outcome of a call; None says nothing about the host.

        What began before a change of state changes nothing.
        """
        with self._lock:
            if trial:
                self._trying = False
            counts = trial or self._machine.state.name == pybreaker.STATE_CLOSED
            if ok is None or not counts:
                return
            with suppress(Failure, pybreaker.CircuitBreakerError):
                self._machine.call(int if ok else fail)

    def state(self) -> dict[str, str | None]:
        """Return {"state": closed, open or half-open, "since": when it opened, or None}."""
        state, opened = self._storage.state, self._storage.opened_at
        return {
            "state": state,
            "since": opened.isoformat() if opened and state != pybreaker.STATE_CLOSED else None,
        }

    def _wait(self) -> float:
        opened = self._storage.opened_at
        return (
            self._machine.reset_timeout - (datetime.now(UTC) - opened).total_seconds()
            if opened
            else 0.0
        )
