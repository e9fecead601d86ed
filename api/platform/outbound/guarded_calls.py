"""Calls to other hosts behind a deadline, a bulkhead, a circuit breaker and retries.

A host that is slow or down does not slow this service down with it. The reasons for the numbers
are in docs/adr/0012-one-guard-per-host.md.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import httpx
import stamina

from api.platform.outbound.circuit_breaker import Breaker, CallRefused
from api.platform.outbound.deadlines import DeadlineExceeded, seconds_left
from api.platform.telemetry import metrics, request_context
from api.platform.types import JsonObject

CONCURRENT = 3  # calls to one host per process, well below gunicorn's threads
CONNECT_SECONDS = 2.0
RETRY_SECONDS = 60.0  # of one call with all its attempts, unless a deadline is earlier
FIRST_PAUSE = 0.2  # seconds before the second attempt, at least
MAX_BYTES = 32 << 20  # of a response
HEADERS = ("content-type", "retry-after")  # of a response that `read` gets
SECONDS_OR_DATE = re.compile(r"[0-9]+|[A-Za-z]+, [0-9A-Za-z :-]+")  # of Retry-After (RFC 9110)
T = TypeVar("T")


class BulkheadFull(CallRefused):
    """Too many calls to this host are in progress."""

    reason = "bulkhead"


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of retries: seconds per attempt, attempts, longest pause in seconds."""

    seconds: float
    attempts: int
    pause: float


@dataclass(frozen=True)
class Call(Generic[T]):
    """A GET, and the function that converts its response to a result."""

    path: str
    params: JsonObject
    read: Callable[[httpx.Response], T]


class Guard:
    """GET from one host.

    `failed` is the exception for a failure of the host: it is retried, and the breaker counts it.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        failed: type[Exception],
        transport: httpx.BaseTransport | None = None,
    ):
        self.name = name
        self.breaker = Breaker(name)
        self._failed = failed
        self._slots = threading.BoundedSemaphore(CONCURRENT)
        self._http = httpx.Client(base_url=base_url, transport=transport)
        metrics.BREAKER.labels(name).set(0)  # a gauge that was never set is not exposed
        metrics.RETRIES.labels(name)
        for refusal in CallRefused.__subclasses__():
            metrics.REFUSED.labels(name, refusal.reason)
        _guards[name] = self

    def get(
        self,
        path: str,
        params: JsonObject,
        read: Callable[[httpx.Response], T],
        policy: RetryPolicy,
    ) -> T:
        """Return the result of `read` for the response; raise `failed` or CallRefused.

        `read` raises `failed` for a response that shows a failure of the host.
        """
        try:
            with self._slot():
                return self._with_retries(Call(path, params, read), policy)
        except CallRefused as error:
            metrics.REFUSED.labels(self.name, error.reason).inc()
            error.args = (f"{self.name}: {error}",)
            raise

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Hold one of the bulkhead's slots; raise BulkheadFull when none is free."""
        if not self._slots.acquire(blocking=False):
            raise BulkheadFull("too many calls to it are in progress")
        try:
            yield
        finally:
            self._slots.release()

    def _with_retries(self, call: Call[T], policy: RetryPolicy) -> T:
        def backoff(error: Exception) -> bool | float:
            """Return whether to retry, or the seconds to wait before it if the host sent them."""
            if not isinstance(error, self._failed):
                return False
            retry_after: float | None = getattr(error, "retry_after", None)
            longest_pause = max(retry_after or 0.0, policy.pause)
            if longest_pause >= min(seconds_left(), RETRY_SECONDS):
                return False
            if retry_after is None:
                return True
            return retry_after

        # stamina's decorator would log the arguments, which may hold keys.
        attempts = stamina.retry_context(
            on=backoff,
            attempts=policy.attempts,
            timeout=RETRY_SECONDS,
            wait_initial=FIRST_PAUSE,
            wait_max=policy.pause,
            wait_jitter=policy.pause,
        )
        for attempt in attempts:
            with attempt:
                if attempt.num > 1:
                    metrics.RETRIES.labels(self.name).inc()
                result = self._through_breaker(call, policy.seconds)
        return result

    def _through_breaker(self, call: Call[T], seconds: float) -> T:
        timeout = min(seconds, seconds_left())
        if timeout <= 0:
            raise DeadlineExceeded("the deadline passed before the call")
        trial = self.breaker.enter()
        ok: bool | None = None
        try:
            result = self._measured(call, timeout, cut_short=timeout < seconds)
            ok = True
            return result
        except self._failed:
            ok = False
            raise
        finally:
            self.breaker.leave(trial, ok)

    def _measured(self, call: Call[T], seconds: float, cut_short: bool) -> T:
        try:
            with metrics.dependency_call(self.name):
                return call.read(self._fetch(call, seconds))
        except httpx.HTTPError as error:
            if cut_short and isinstance(error, httpx.TimeoutException):
                # Not a failure of the host: it may have been about to respond.
                raise DeadlineExceeded("it did not respond before the deadline") from error
            raise self._failed(f"{call.path}: {type(error).__name__} {error}") from error

    def _fetch(self, call: Call[T], seconds: float) -> httpx.Response:
        """Return the complete response; raise httpx.HTTPError.

        httpx's time-outs are per read, so a slow stream would never end. The call may take one read
        longer than `seconds`.
        """
        end = time.monotonic() + seconds
        options: dict[str, Any] = {
            "params": call.params,
            "headers": request_context.outbound_headers(),
            "timeout": httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
        }
        body = bytearray()
        with self._http.stream("GET", call.path, **options) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if time.monotonic() > end:
                    raise httpx.ReadTimeout("the response is too slow", request=response.request)
                if len(body) > MAX_BYTES:
                    raise httpx.ReadError("the response is too large", request=response.request)
        headers = {name: response.headers[name] for name in HEADERS if name in response.headers}
        return httpx.Response(response.status_code, headers=headers, content=bytes(body))


_guards: dict[str, Guard] = {}  # of this process, by dependency


def check(name: str) -> JsonObject:
    """Return the health check of a guarded dependency: the state of its breaker, without a call."""
    breaker = _guards[name].breaker
    result = {
        "ok": breaker.state == "closed",
        "state": breaker.state,
        "detail": f"circuit breaker is {breaker.state}",
    }
    if breaker.open_since:
        result["since"] = breaker.open_since
    return result


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of the response's Retry-After, which is a number or a time.

    Return None without a valid one.
    """
    text = response.headers.get("retry-after", "")
    if not SECONDS_OR_DATE.fullmatch(text):  # Python's parser of dates also reads `2_026`
        return None
    try:
        if text.isdecimal():
            return float(text)
        wait = parsedate_to_datetime(text) - datetime.now(UTC)
    except (ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())
