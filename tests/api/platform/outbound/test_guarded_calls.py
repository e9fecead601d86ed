"""Guarded calls to a real server that fails, hangs, responds slowly and recovers."""

import logging
import runpy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina

from api.platform.config import PlatformSettings
from api.platform.jobs.queue import THREADS
from api.platform.outbound import guarded_calls
from api.platform.outbound.circuit_breaker import (
    FAILURES,
    OPEN_SECONDS,
    Breaker,
    BreakerOpen,
    CallRefused,
)
from api.platform.outbound.deadlines import DeadlineExceeded, deadline, seconds_left
from api.platform.outbound.guarded_calls import (
    CONCURRENT,
    CONNECT_SECONDS,
    RETRY_SECONDS,
    BulkheadFull,
    Guard,
    RetryPolicy,
    retry_after,
)
from api.platform.telemetry import logs, metrics, request_context
from observability.spec import names
from tests.api.platform.helpers import sample
from tests.serving import serving

ROOT = Path(__file__).resolve().parents[4]
ONE_ATTEMPT = RetryPolicy(seconds=5.0, attempts=1, pause=0.0)
THREE_ATTEMPTS = RetryPolicy(seconds=5.0, attempts=3, pause=0.5)
CALLERS = 24
CLOSED_PORT = "http://127.0.0.1:9"  # nobody answers at the discard port


class HostFailed(Exception):
    """The failure of a host."""

    retry_after: float | None = None


class Upstream(ThreadingHTTPServer):
    """A host that records requests and answers by `respond`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, str]] = []
        self.respond: Callable[[Handler], None] = lambda handler: handler.answer(200)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Upstream

    def do_GET(self) -> None:
        self.server.requests.append(dict(self.headers))
        with suppress(ConnectionError):  # the caller may be gone
            self.server.respond(self)

    def answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing to standard error."""


def answer_500(handler: Handler) -> None:
    handler.answer(500)


def read(answer: httpx.Response) -> int:
    if answer.status_code >= 500 or answer.status_code == 429:
        error = HostFailed(f"answered {answer.status_code}")
        error.retry_after = retry_after(answer)
        raise error
    return answer.status_code


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serving(Upstream()) as server:
        yield server


@pytest.fixture(autouse=True)
def _known_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a registry of guards of its own."""
    monkeypatch.setattr(guarded_calls, "_guards", {})


@pytest.fixture
def guard(upstream: Upstream) -> Guard:
    return Guard("thingspeak", upstream.url, HostFailed)


def get(guard: Guard, policy: RetryPolicy = ONE_ATTEMPT) -> int:
    return guard.get("/", {}, read, policy)


def open_breaker(guard: Guard, upstream: Upstream) -> None:
    """Open the breaker by as many failures as it takes."""
    before, upstream.respond = upstream.respond, answer_500
    for _ in range(FAILURES):
        with pytest.raises(HostFailed):
            get(guard)
    upstream.respond = before


def outcome(work: Callable[[], Any]) -> Any:
    """Return the result of the work, or the type of its exception."""
    try:
        return work()
    except (CallRefused, HostFailed) as error:
        return type(error)


def counted(metric: str, **labels: str) -> float:
    return sample(metrics.REGISTRY, f"{metric}_total", dependency="thingspeak", **labels)


def test_the_breaker_opens_after_failures_in_a_row(guard: Guard, upstream: Upstream) -> None:
    """A success resets the count; an open breaker refuses calls without asking the host."""
    upstream.respond = answer_500
    for _ in range(FAILURES - 1):
        assert outcome(lambda: get(guard)) is HostFailed
    upstream.respond = lambda handler: handler.answer(200)
    assert get(guard) == 200
    assert (guard.breaker.state, guard.breaker.open_since) == ("closed", None)
    open_breaker(guard, upstream)
    requests, refused = len(upstream.requests), counted(names.REFUSED, reason="breaker")
    with pytest.raises(BreakerOpen, match="thingspeak: it failed several times in a row") as error:
        get(guard)
    assert error.value.retry_after > 1
    assert len(upstream.requests) == requests
    assert counted(names.REFUSED, reason="breaker") == refused + 1
    assert sample(metrics.REGISTRY, names.BREAKER, dependency="thingspeak") == 2
    assert guard.breaker.state == "open"
    assert guard.breaker.open_since


def test_documented_timeouts_and_limits_are_the_used_ones() -> None:
    """docs/operations.md lists them; ADR 12 explains their order."""
    promised = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"{CONCURRENT} calls at a time per process" in promised
    assert (
        f"opens after {FAILURES} failures in a row, lets one trial pass after {OPEN_SECONDS:g} s"
        in promised
    )
    threads = runpy.run_path(str(ROOT / "api" / "gunicorn.conf.py"))["threads"]
    # The jobs of a worker do not fill the bulkhead; other routes keep most threads.
    assert THREADS <= CONCURRENT < threads / 2
    assert CONNECT_SECONDS < RETRY_SECONDS < PlatformSettings.model_fields["job_deadline"].default


def test_own_errors_do_not_count_against_the_host(guard: Guard, upstream: Upstream) -> None:
    """An error in the code that reads the response opens no breaker and is not retried."""

    def broken(_: httpx.Response) -> int:
        raise ZeroDivisionError

    for _ in range(FAILURES):
        with pytest.raises(ZeroDivisionError):
            guard.get("/", {}, broken, THREE_ATTEMPTS)
    assert len(upstream.requests) == FAILURES
    assert get(guard) == 200


@pytest.mark.parametrize("end", [200, 500], ids=["it is back", "it is not"])
def test_half_open_breaker_sends_one_call_to_the_host(
    guard: Guard, upstream: Upstream, end: int
) -> None:
    """The outcome of that call closes or opens the breaker."""
    guard.breaker = Breaker("thingspeak", seconds=0)  # a trial may follow at once
    open_breaker(guard, upstream)
    requests, reached, go = len(upstream.requests), threading.Event(), threading.Event()

    def hang(handler: Handler) -> None:
        reached.set()
        go.wait(10)
        handler.answer(end)

    upstream.respond = hang
    with ThreadPoolExecutor(CALLERS) as pool:
        trial = pool.submit(outcome, lambda: get(guard))
        assert reached.wait(10)
        others = list(pool.map(outcome, [lambda: get(guard)] * CALLERS))
        assert guard.breaker.state == "half-open"
        assert set(others) <= {BreakerOpen, BulkheadFull}
        assert BreakerOpen in others
        assert len(upstream.requests) == requests + 1
        go.set()
        assert trial.result() == (200 if end == 200 else HostFailed)
    assert guard.breaker.state == ("closed" if end == 200 else "open")


def test_full_bulkhead_refuses_calls(guard: Guard, upstream: Upstream) -> None:
    """When the running calls end, calls are accepted again."""
    reached, go = threading.Semaphore(0), threading.Event()

    def hang(handler: Handler) -> None:
        reached.release()
        go.wait(10)
        handler.answer(200)

    upstream.respond = hang
    refused = counted(names.REFUSED, reason="bulkhead")
    with ThreadPoolExecutor(CONCURRENT) as pool:
        calls = [pool.submit(get, guard) for _ in range(CONCURRENT)]
        assert all(reached.acquire(timeout=10) for _ in calls)
        with pytest.raises(BulkheadFull):
            get(guard)
        go.set()
        assert [call.result() for call in calls] == [200] * CONCURRENT
    assert get(guard) == 200
    assert len(upstream.requests) == CONCURRENT + 1
    assert counted(names.REFUSED, reason="bulkhead") == refused + 1


def test_no_call_is_made_after_the_deadline(guard: Guard, upstream: Upstream) -> None:
    """After the deadline no call is made; an inner deadline never extends the outer one."""
    refused = counted(names.REFUSED, reason="deadline")
    with deadline(0), deadline(60), pytest.raises(DeadlineExceeded):
        get(guard)
    assert upstream.requests == []
    assert counted(names.REFUSED, reason="deadline") == refused + 1
    assert seconds_left() == float("inf")
    assert get(guard) == 200


def test_call_cut_off_by_the_deadline_is_no_failure(guard: Guard, upstream: Upstream) -> None:
    """The host might have responded within its own timeout."""
    go = threading.Event()
    upstream.respond = lambda handler: (go.wait(10), handler.answer(200))[-1]
    for _ in range(FAILURES):
        with deadline(0.05), pytest.raises(DeadlineExceeded, match="before the deadline"):
            get(guard, THREE_ATTEMPTS)
    go.set()
    assert len(upstream.requests) == FAILURES
    assert guard.breaker.state == "closed"


def test_failed_call_is_retried_as_the_policy_says(guard: Guard, upstream: Upstream) -> None:
    """Each retry is counted."""
    upstream.respond = answer_500
    retries = counted(names.RETRIES)
    with stamina.set_testing(True, attempts=THREE_ATTEMPTS.attempts):
        assert outcome(lambda: get(guard, THREE_ATTEMPTS)) is HostFailed
    assert len(upstream.requests) == THREE_ATTEMPTS.attempts
    assert counted(names.RETRIES) == retries + THREE_ATTEMPTS.attempts - 1


def test_retries_end_before_the_deadline(guard: Guard, upstream: Upstream) -> None:
    """No attempt follows when the pause before it may outlast the deadline."""
    upstream.respond = answer_500
    with deadline(10):
        policy = RetryPolicy(seconds=5, attempts=9, pause=11)
        assert outcome(lambda: get(guard, policy)) is HostFailed
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("value", "attempts"), [("0", 3), ("11", 1), ("gone", 3), ("Fri, 01 Jan 2100 00:00:00 GMT", 1)]
)
def test_retry_after_is_honoured_within_the_deadline(
    guard: Guard, upstream: Upstream, value: str, attempts: int
) -> None:
    """A host that asks for a longer wait than is left gets no further call."""
    upstream.respond = lambda handler: handler.answer(429, Retry_After=value)
    with deadline(10), stamina.set_testing(True, attempts=3):
        assert outcome(lambda: get(guard, THREE_ATTEMPTS)) is HostFailed
    assert len(upstream.requests) == attempts


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-5", "1e9", "٣", "1_0", "Wed, 99 Foo 2026", "Wed, 21 Oct 2_100 07:28:00 GMT"],
)
def test_invalid_retry_after_is_ignored(text: str) -> None:
    """Whole seconds and HTTP dates are valid; a date in the past means no wait."""
    assert retry_after(httpx.Response(429, headers={"Retry-After": text.encode()})) is None
    assert (
        retry_after(httpx.Response(429, headers={"Retry-After": formatdate(0, usegmt=True)})) == 0
    )


@pytest.mark.parametrize("status", [400, 401, 404])
def test_client_error_is_not_retried(guard: Guard, upstream: Upstream, status: int) -> None:
    """It is no failure of the host."""
    upstream.respond = lambda handler: handler.answer(status)
    for _ in range(FAILURES + 1):
        assert get(guard, THREE_ATTEMPTS) == status
    assert len(upstream.requests) == FAILURES + 1


def test_slow_response_is_aborted(guard: Guard, upstream: Upstream) -> None:
    """A host that sends one byte at a time cannot occupy its caller forever."""
    stop = threading.Event()

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not stop.wait(0.02):
            handler.wfile.write(b" ")

    upstream.respond = drip
    with pytest.raises(HostFailed, match="too slow"):
        get(guard, RetryPolicy(seconds=0.2, attempts=1, pause=0))
    stop.set()


def test_oversized_response_is_aborted(
    guard: Guard, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of it is not read into memory."""
    monkeypatch.setattr(guarded_calls, "MAX_BYTES", 1000)
    upstream.respond = lambda handler: handler.answer(200, b"x" * 1001)
    with pytest.raises(HostFailed, match="too large"):
        get(guard)


def test_call_carries_the_ids_of_its_request(guard: Guard, upstream: Upstream) -> None:
    """The request id and the trace context are sent to the host."""
    with request_context.activate({}) as current:
        get(guard)
    assert {key.lower(): value for key, value in upstream.requests[0].items()}.items() >= {
        key.lower(): value for key, value in current.outbound_headers().items()
    }.items()


def test_refused_connection_is_a_failure_of_the_host() -> None:
    """It counts towards opening the breaker."""
    guard = Guard("thingspeak", CLOSED_PORT, HostFailed)
    results = [outcome(lambda: get(guard)) for _ in range(FAILURES + 1)]
    assert results == [HostFailed] * FAILURES + [BreakerOpen]


def test_state_change_of_the_breaker_is_logged(
    guard: Guard, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """There is one line for the change."""
    with caplog.at_level(logging.WARNING):
        open_breaker(guard, upstream)
        outcome(lambda: get(guard))
    changes = [
        (record.was, record.__dict__["is"])
        for record in caplog.records
        if record.message == logs.BREAKER_CHANGED
    ]
    assert changes == [("closed", "open")]
