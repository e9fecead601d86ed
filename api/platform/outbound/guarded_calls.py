"""Calls to other hosts, so that theirs being slow or down is not ours: deadline, bulkhead, circuit breaker and retries.

docs/adr/0012-one-guard-per-host.md says why each number is what it is.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import stamina

from api.platform.outbound.circuit_breaker import Breaker, CallRefused
from api.platform.state import app_state
from api.platform.telemetry import metrics, request_context

CONCURRENT = 3  # calls to one host at a time and process, well below gunicorn's threads
CONNECT_SECONDS = 2.0
RETRY_SECONDS = 60.0  # of one call with all of its attempts, where no deadline ends it earlier
LARGEST = 32 << 20  # bytes of an answer
T = TypeVar("T")
_until: ContextVar[float | None] = ContextVar("evara_deadline", default=None)


class BulkheadFull(CallRefused):
    """Enough threads wait for this host already."""

    reason = "bulkhead"


class DeadlineExceeded(CallRefused):
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


def begin_deadline() -> None:
    """Start the time that the request has for its calls to others."""
    _until.set(time.monotonic() + app_state().settings.request_deadline)


def end_deadline(_: BaseException | None) -> None:
    """Lift the deadline of the request."""
    _until.set(None)


@dataclass(frozen=True)
class RetryPolicy:
    """How long a caller waits: seconds for one attempt, attempts in all, and at most so many seconds between two."""

    seconds: float
    attempts: int
    pause: float


class Guard:
    """GET from one host. `failed` is the exception for what may pass by itself: it is tried again and counts against the host."""

    def __init__(
        self,
        name: str,
        base_url: str,
        failed: type[Exception],
        transport: httpx.BaseTransport | None = None,
    ):
        self.name, self.breaker = name, Breaker(name)
        self._failed = failed
        self._slots = threading.BoundedSemaphore(CONCURRENT)
        self._http = httpx.Client(base_url=base_url, transport=transport)
        metrics.BREAKER.labels(name).set(0)  # a gauge that was never set is not exposed
        metrics.RETRIES.labels(name)
        for kind in CallRefused.__subclasses__():
            metrics.REFUSED.labels(name, kind.reason)
        _guards[name] = self

    def get(
        self,
        path: str,
        params: dict[str, Any],
        read: Callable[[httpx.Response], T],
        policy: RetryPolicy,
    ) -> T:
        """What `read` makes of the answer; it raises `failed` for one that is not theirs. Raises `failed` or CallRefused."""
        try:
            if not self._slots.acquire(blocking=False):
                raise BulkheadFull("enough callers wait for it already")
            try:
                return self._with_retries(path, params, read, policy)
            finally:
                self._slots.release()
        except CallRefused as error:
            metrics.REFUSED.labels(self.name, error.reason).inc()
            error.args = (f"{self.name}: {error}",)
            raise

    def _with_retries(
        self,
        path: str,
        params: dict[str, Any],
        read: Callable[[httpx.Response], T],
        policy: RetryPolicy,
    ) -> T:
        def again(error: Exception) -> bool | float:
            wait: float | None = getattr(error, "retry_after", None)
            fits = max(wait or 0.0, policy.pause) < min(left(), RETRY_SECONDS)
            return isinstance(error, self._failed) and fits and (True if wait is None else wait)

        found: list[
            T
        ] = []  # not stamina's decorator: that would log the arguments, and so the keys of channels
        bounds = {"wait_initial": 0.2, "wait_max": policy.pause, "wait_jitter": policy.pause}
        for attempt in stamina.retry_context(
            on=again, attempts=policy.attempts, timeout=RETRY_SECONDS, **bounds
        ):
            with attempt:
                if attempt.num > 1:
                    metrics.RETRIES.labels(self.name).inc()
                found = [self._guarded(path, params, read, policy.seconds)]
        return found[0]

    def _guarded(
        self, path: str, params: dict[str, Any], read: Callable[[httpx.Response], T], seconds: float
    ) -> T:
        mine = min(seconds, left())
        if mine <= 0:
            raise DeadlineExceeded("no time is left to ask it")
        trial, ok = self.breaker.enter(), None
        try:
            found = self._measured(path, params, read, mine, cut_short=mine < seconds)
            ok = True
            return found
        except self._failed:
            ok = False
            raise
        finally:
            self.breaker.leave(trial, ok)

    def _measured(
        self,
        path: str,
        params: dict[str, Any],
        read: Callable[[httpx.Response], T],
        seconds: float,
        cut_short: bool,
    ) -> T:
        try:
            with metrics.dependency_call(self.name):
                try:
                    return read(self._fetch(path, params, seconds))
                except httpx.TimeoutException as error:
                    if cut_short:  # they may have been about to answer: it says nothing about them
                        raise DeadlineExceeded(
                            "it did not answer in the time that was left"
                        ) from error
                    raise
        except httpx.HTTPError as error:
            raise self._failed(f"{path}: {type(error).__name__} {error}") from error

    def _fetch(self, path: str, params: dict[str, Any], seconds: float) -> httpx.Response:
        """The whole answer; httpx' own time-outs are per read, so one that drips would never end. It may last one read longer."""
        end, body = time.monotonic() + seconds, bytearray()
        timeout = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        with self._http.stream(
            "GET", path, params=params, headers=request_context.outbound_headers(), timeout=timeout
        ) as answer:
            for chunk in answer.iter_bytes():
                body += chunk
                if time.monotonic() > end:
                    raise httpx.ReadTimeout("it sends, but too slowly", request=answer.request)
                if len(body) > LARGEST:
                    raise httpx.ReadError(
                        "it sends more than anybody would want", request=answer.request
                    )
        kept = {
            name: value
            for name, value in answer.headers.items()
            if name in ("content-type", "retry-after")
        }
        return httpx.Response(answer.status_code, headers=kept, content=bytes(body))


_guards: dict[str, Guard] = {}  # of this process, by dependency


def check(name: str) -> dict[str, Any]:
    """What health says of a guarded dependency, without asking it: whether its breaker lets calls through."""
    found = _guards[name].breaker.state()
    since = {"since": datetime.fromisoformat(found["since"])} if found["since"] else {}
    return {
        "ok": found["state"] == "closed",
        "state": found["state"],
        "detail": f"its breaker is {found['state']}",
    } | since


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the answer's Retry-After asks for, given as seconds or as a time; None without a sensible one."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = (
            float(text)
            if text.isascii() and text.isdecimal()
            else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        )
    except (ValueError, TypeError):
        return None
    return max(0.0, seconds)
