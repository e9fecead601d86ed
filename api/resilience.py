"""Calls to other hosts, so that theirs being slow or down is not ours: deadline, bulkhead, circuit breaker and retries.

docs/adr/0012-one-guard-per-host.md says why each number is what it is.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Any, TypeVar

import httpx
import pybreaker
import stamina
from flask import Flask
from redis import Redis

from api import identity, telemetry
from api.cache import PREFIX, Shared

CONCURRENT = 3  # calls to one host at a time and process, well below gunicorn's threads
FAILURES = 5  # in a row, until the breaker opens
OPEN_SECONDS = 15.0  # until one trial may pass
CONNECT_SECONDS = 2.0
RETRY_SECONDS = 60.0  # of one call with all of its attempts, where no deadline ends it earlier
LARGEST = 32 << 20  # bytes of an answer
T = TypeVar("T")
log = logging.getLogger(__name__)
_until: ContextVar[float | None] = ContextVar("evara_deadline", default=None)


class Refused(Exception):
    """A call that was not made or not waited for; what our own caller is told: status, and after how many seconds to try again."""

    reason, status, retry_after = "", 503, 1.0


class BreakerOpen(Refused):
    """The host failed several times in a row and is left alone for a while."""

    reason = "breaker"


class BulkheadFull(Refused):
    """Enough threads wait for this host already."""

    reason = "bulkhead"


class DeadlineExceeded(Refused):
    """The time that our own caller or job has is over."""

    reason, status = "deadline", 504


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Outbound calls within the block end before so many seconds are over, or earlier where a deadline is in force already."""
    mine = time.monotonic() + seconds
    outer = _until.get()
    token = _until.set(mine if outer is None else min(mine, outer))
    try:
        yield
    finally:
        _until.reset(token)


def left() -> float:
    """Seconds until the deadline, negative when it is over; infinite where there is none."""
    until = _until.get()
    return float("inf") if until is None else until - time.monotonic()


def init_app(app: Flask, seconds: float) -> None:
    """Gives every request its deadline."""

    @app.before_request
    def begin() -> None:
        _until.set(time.monotonic() + seconds)

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        _until.set(None)


@dataclass(frozen=True)
class Patience:
    """How long a caller waits: seconds for one attempt, attempts in all, and at most so many seconds between two."""

    seconds: float
    attempts: int
    pause: float


class States(pybreaker.CircuitMemoryStorage):
    """pybreaker's state in Redis, with a copy here for when it is away."""

    def __init__(self, name: str, shared: Shared | None):
        super().__init__(pybreaker.STATE_CLOSED)
        self._key, self._shared = f"{PREFIX}breaker:{name}", shared

    def _there(self, question: Callable[["Redis"], Any], otherwise: T) -> T:
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
        self._there(lambda store: store.hset(self._key, "failures", 0), None)

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
        return self._there(lambda store: bool(store.set(f"{self._key}:trial", 1, nx=True, px=ceil(seconds * 1000))), True)

    def give_back(self) -> None:
        self._there(lambda store: store.delete(f"{self._key}:trial"), None)


class Watcher(pybreaker.CircuitBreakerListener):
    """Tells each change of a breaker that this process makes or notices."""

    def state_change(self, cb: pybreaker.CircuitBreaker, old_state: Any, new_state: Any) -> None:
        telemetry.BREAKER.labels(cb.name).set(telemetry.BREAKER_STATES[new_state.name])
        log.warning("breaker changed", extra={"dependency": cb.name, "was": old_state and old_state.name, "is": new_state.name})


class Failure(Exception):
    """What pybreaker is told of a call that failed."""


def fail() -> None:
    raise Failure


class Breaker:
    """pybreaker's states without its lock around the call, and with exactly one trial when half open."""

    def __init__(self, name: str, shared: Shared | None = None, failures: int = FAILURES, seconds: float = OPEN_SECONDS):
        self._storage = States(name, shared)
        self._machine = pybreaker.CircuitBreaker(
            failures, seconds, state_storage=self._storage, listeners=[Watcher()], name=name, throw_new_error_on_trip=False
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
                refused = BreakerOpen("it failed several times in a row and is left alone for a while")
                refused.retry_after = max(1.0, wait)
                raise refused
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
        return {"state": state, "since": opened.isoformat() if opened and state != pybreaker.STATE_CLOSED else None}

    def _wait(self) -> float:
        opened = self._storage.opened_at
        return self._machine.reset_timeout - (datetime.now(UTC) - opened).total_seconds() if opened else 0.0


class Guard:
    """GET from one host. `failed` is the exception for what may pass by itself: it is tried again and counts against the host."""

    def __init__(
        self, name: str, base_url: str, failed: type[Exception], shared: Shared | None = None, transport: httpx.BaseTransport | None = None
    ):
        self.name, self.breaker = name, Breaker(name, shared)
        self._failed = failed
        self._slots = threading.BoundedSemaphore(CONCURRENT)
        self._http = httpx.Client(base_url=base_url, transport=transport)
        telemetry.BREAKER.labels(name)
        telemetry.RETRIES.labels(name)
        for kind in Refused.__subclasses__():
            telemetry.REFUSED.labels(name, kind.reason)
        _guards[name] = self

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, params: dict[str, Any], read: Callable[[httpx.Response], T], patience: Patience) -> T:
        """What `read` makes of the answer; it raises `failed` for one that is not theirs. Raises `failed` or Refused."""

        def again(error: Exception) -> bool | float:
            wait: float | None = getattr(error, "retry_after", None)
            fits = max(wait or 0.0, patience.pause) < min(left(), RETRY_SECONDS)
            return isinstance(error, self._failed) and fits and (True if wait is None else wait)

        found: list[T] = []  # retry_context, not stamina's decorator: that would log the arguments, and so the keys of channels
        for attempt in stamina.retry_context(
            on=again, attempts=patience.attempts, timeout=RETRY_SECONDS, wait_initial=0.2, wait_max=patience.pause, wait_jitter=patience.pause
        ):
            with attempt:
                if attempt.num > 1:
                    telemetry.RETRIES.labels(self.name).inc()
                found = [self._guarded(path, params, read, patience.seconds)]
        return found[0]

    def _guarded(self, path: str, params: dict[str, Any], read: Callable[[httpx.Response], T], seconds: float) -> T:
        try:
            if left() <= 0:
                raise DeadlineExceeded("no time is left to ask it")
            if not self._slots.acquire(blocking=False):
                raise BulkheadFull("enough callers wait for it already")
            try:
                trial, ok = self.breaker.enter(2 * seconds), None
                try:
                    found = self._measured(path, params, read, seconds)
                    ok = True
                    return found
                except self._failed:
                    ok = False
                    raise
                finally:
                    self.breaker.leave(trial, ok)
            finally:
                self._slots.release()
        except Refused as error:
            telemetry.REFUSED.labels(self.name, error.reason).inc()
            error.args = (f"{self.name} is not asked: {error}",)
            raise

    def _measured(self, path: str, params: dict[str, Any], read: Callable[[httpx.Response], T], seconds: float) -> T:
        mine = min(seconds, left())
        try:
            with telemetry.dependency_call(self.name):
                try:
                    return read(self._fetch(path, params, mine))
                except httpx.TimeoutException as error:
                    if mine < seconds:  # they may have been about to answer: it says nothing about them
                        raise DeadlineExceeded("it did not answer in the time that was left") from error
                    raise
        except httpx.HTTPError as error:
            raise self._failed(f"{path}: {type(error).__name__} {error}") from error

    def _fetch(self, path: str, params: dict[str, Any], seconds: float) -> httpx.Response:
        """The whole answer; httpx' own time-outs are per read, so one that drips would never end. It may last one read longer."""
        end, body = time.monotonic() + seconds, bytearray()
        timeout = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        with self._http.stream("GET", path, params=params, headers=identity.headers(), timeout=timeout) as answer:
            for chunk in answer.iter_bytes():
                body += chunk
                if time.monotonic() > end:
                    raise httpx.ReadTimeout("it sends, but too slowly", request=answer.request)
                if len(body) > LARGEST:
                    raise httpx.ReadError("it sends more than anybody would want", request=answer.request)
        kept = {name: value for name, value in answer.headers.items() if name in ("content-type", "retry-after")}
        return httpx.Response(answer.status_code, headers=kept, content=bytes(body))


_guards: dict[str, Guard] = {}  # of this process, by dependency


def states() -> dict[str, dict[str, str | None]]:
    """Each guarded dependency's breaker: {"thingspeak": {"state": "open", "since": "2026-03-01T12:00:00+00:00"}}."""
    return {name: guard.breaker.state() for name, guard in sorted(_guards.items())}


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the answer's Retry-After asks for, given as seconds or as a time; None without a sensible one."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text) if text.isascii() and text.isdecimal() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(0.0, seconds)
