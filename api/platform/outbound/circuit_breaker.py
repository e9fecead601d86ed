"""The circuit breaker of one process: pybreaker's states, with one trial call at a time."""

import logging
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pybreaker

from api.platform.telemetry import logs, metrics

FAILURES = 5  # in a row, until it opens
OPEN_SECONDS = 15.0  # until it admits a trial
log = logging.getLogger(__name__)


class CallError(Exception):
    """Base of the errors of calls to other hosts; their text holds no secret."""

    permanent = False  # True when a retry cannot succeed


class CallRefused(CallError):
    """A call that was not made, or whose response was not awaited."""

    reason = ""  # label value of the metric
    status = 503  # of the response to our own caller
    retry_after = 1.0  # seconds


class BreakerOpen(CallRefused):
    """The circuit breaker is open: the host failed several times in a row."""

    reason = "breaker"

    def __init__(self, wait: float):
        super().__init__("it failed several times in a row, so calls are suspended")
        self.retry_after = max(self.retry_after, wait)


class StateReporter(pybreaker.CircuitBreakerListener):
    """A listener that reports each change of state as metric and log line."""

    def state_change(self, cb: pybreaker.CircuitBreaker, old_state: Any, new_state: Any) -> None:
        metrics.BREAKER.labels(cb.name).set(metrics.BREAKER_STATES[new_state.name])
        fields = {
            "dependency": cb.name,
            "was": old_state and old_state.name,
            "is": new_state.name,
        }
        log.warning(logs.BREAKER_CHANGED, extra=fields)


class Failure(Exception):
    """The failed call that pybreaker counts."""


class Breaker:
    """pybreaker's states without its lock around the call; half-open admits exactly one trial."""

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
            listeners=[StateReporter()],
            name=name,
            throw_new_error_on_trip=False,
        )
        self._lock = threading.Lock()
        self._trial_is_running = False

    @property
    def state(self) -> str:
        """The state: closed, open or half-open."""
        return str(self._storage.state)

    @property
    def open_since(self) -> datetime | None:
        """The time (UTC) at which it opened; None while it is closed."""
        if self.state == pybreaker.STATE_CLOSED:
            return None
        opened_at: datetime | None = self._storage.opened_at
        return opened_at

    def enter(self) -> bool:
        """Return whether the call is the trial; raise BreakerOpen when no call may be made."""
        with self._lock:
            if self.state == pybreaker.STATE_CLOSED:
                return False
            wait = self._seconds_until_trial()
            if wait > 0 or self._trial_is_running:
                raise BreakerOpen(wait)
            self._trial_is_running = True
            self._machine.half_open()
            return True

    def leave(self, trial: bool, ok: bool | None) -> None:
        """Count the outcome of a call; None says nothing about the host.

        The outcome of a call that began before a change of state is not counted.
        """
        with self._lock:
            if trial:
                self._trial_is_running = False
            counts = trial or self.state == pybreaker.STATE_CLOSED
            if ok is None or not counts:
                return
            with suppress(Failure, pybreaker.CircuitBreakerError), self._machine.calling():
                if not ok:
                    raise Failure

    def _seconds_until_trial(self) -> float:
        opened_at = self._storage.opened_at
        if self.state != pybreaker.STATE_OPEN or opened_at is None:
            return 0.0
        elapsed = datetime.now(UTC) - opened_at
        return float(self._machine.reset_timeout - elapsed.total_seconds())
