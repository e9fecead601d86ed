"""The circuit breaker: pybreaker's states, in Redis where machines share them, without its lock around the call; one trial at a time."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from math import ceil
from typing import Any, TypeVar

import pybreaker
from redis import Redis

from api.platform.outbound.redis_client import PREFIX, Shared
from api.platform.telemetry import metrics

FAILURES = 5  # in a row, until it opens
OPEN_SECONDS = 15.0  # until one trial may pass
T = TypeVar("T")
log = logging.getLogger(__name__)


class Refused(Exception):
    """A call that was not made or not waited for; what our own caller is told: status, and after how many seconds to try again."""

    reason, status, retry_after = "", 503, 1.0


class BreakerOpen(Refused):
    """The host failed several times in a row and is left alone for a while."""

    reason = "breaker"

    def __init__(self, wait: float):
        super().__init__("it failed several times in a row and is left alone for a while")
        self.retry_after = max(self.retry_after, wait)


class States(pybreaker.CircuitMemoryStorage):
    """pybreaker's state in Redis, with a copy here for when it is away."""

    def __init__(self, name: str, shared: Shared | None):
        super().__init__(pybreaker.STATE_CLOSED)
        self._key, self._shared = f"{PREFIX}breaker:{name}", shared

    def _there(self, question: Callable[[Redis], Any], otherwise: T) -> T:
        answer = self._shared.ask(question, None) if self._shared else None
        return otherwise if answer is None else answer

    @property
    def state(self) -> str:
        return self._there(lambda store: store.hget(self._key, "state"), self._state)

    @state.setter
    def state(self, state: str) -> None:
        self._state = state
        self._there(lambda store: store.hset(self._key, "state", state), None)

    def increment_counter(self) -> None:
        super().increment_counter()
        self._there(lambda store: store.hincrby(self._key, "failures", 1), None)

    def reset_counter(self) -> None:
        super().reset_counter()
        self._there(lambda store: store.hset(self._key, "failures", "0"), None)

    @property
    def counter(self) -> int:
        return int(self._there(lambda store: store.hget(self._key, "failures"), super().counter))

    @property
    def opened_at(self) -> datetime | None:
        text = self._there(lambda store: store.hget(self._key, "opened_at"), "")
        return datetime.fromisoformat(text) if text else self._opened_at

    @opened_at.setter
    def opened_at(self, moment: datetime) -> None:
        self._opened_at = moment
        self._there(lambda store: store.hset(self._key, "opened_at", moment.isoformat()), None)

    def take_trial(self, seconds: float) -> bool:
        """True for one of all who ask, until it is given back; a process that dies with it holds it for so many seconds."""
        return self._there(
            lambda store: bool(
                store.set(f"{self._key}:trial", 1, nx=True, px=ceil(seconds * 1000))
            ),
            True,
        )

    def give_back(self) -> None:
        self._there(lambda store: store.delete(f"{self._key}:trial"), None)


class Watcher(pybreaker.CircuitBreakerListener):
    """Tells each change of a breaker that this process makes or notices."""

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
    """What pybreaker is told of a call that failed."""


def fail() -> None:
    raise Failure


class Breaker:
    """pybreaker's states without its lock around the call, and with exactly one trial when half open."""

    def __init__(
        self,
        name: str,
        shared: Shared | None = None,
        failures: int = FAILURES,
        seconds: float = OPEN_SECONDS,
    ):
        self._storage = States(name, shared)
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

    def enter(self, lease: float) -> bool:
        """Whether the call is the trial, which may last `lease` seconds; BreakerOpen when no call may be made."""
        with self._lock:
            state = self._machine.state.name
            if state == pybreaker.STATE_CLOSED:
                return False
            wait = self._wait() if state == pybreaker.STATE_OPEN else 0.0
            if wait > 0 or self._trying or not self._storage.take_trial(lease):
                raise BreakerOpen(wait)
            self._trying = True
            self._machine.half_open()
            return True

    def leave(self, trial: bool, ok: bool | None) -> None:
        """How the call went; None when that says nothing about the host. What began before a change of state changes nothing."""
        with self._lock:
            try:
                if ok is not None and (trial or self._machine.state.name == pybreaker.STATE_CLOSED):
                    with suppress(Failure, pybreaker.CircuitBreakerError):
                        self._machine.call(int if ok else fail)
            finally:
                if trial:
                    self._trying = False
                    self._storage.give_back()

    def state(self) -> dict[str, str | None]:
        """{"state": closed, open or half-open, "since": when it opened, or None}."""
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
