"""The current request or job: its X-Request-ID, its W3C trace context and the cost of its calls.

A context crosses threads and processes as two headers. Sources of their formats: W3C Trace Context
for "traceparent", and its editors' draft for "traceresponse".
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from werkzeug.datastructures import Headers as HttpHeaders

from api.platform.types import Headers
from observability.spec.redaction import redact

REQUEST_ID = "X-Request-ID"
TRACEPARENT = "traceparent"
# The draft's and OpenTelemetry's name; a traceparent on a response would be read as a request's.
TRACERESPONSE = "traceresponse"
# An X-Request-ID that does not match or that contains a secret is replaced.
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{8,64}")
VALID_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)


@dataclass(slots=True)
class Usage:
    """Time and queries that one request or job has spent so far in calls to dependencies."""

    db_seconds: float = 0.0
    db_queries: int = 0
    outbound_seconds: float = 0.0

    def log_fields(self) -> dict[str, float]:
        """Return the sums as fields of a log line, times in milliseconds."""
        return {
            "db_ms": round(self.db_seconds * 1000, 2),
            "db_queries": self.db_queries,
            "outbound_ms": round(self.outbound_seconds * 1000, 2),
        }


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Ids of a request or job: `span_id` (16 hex digits) is its own, `parent_id` its caller's."""

    request_id: str
    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool
    usage: Usage = field(default_factory=Usage, compare=False)

    def traceparent(self) -> str:
        """Return the ids and the sampled flag in the format of traceparent and traceresponse."""
        return f"00-{self.trace_id}-{self.span_id}-0{int(self.sampled)}"

    def outbound_headers(self) -> Headers:
        """Return the headers with which an outbound call or a queued job continues this context."""
        return {REQUEST_ID: self.request_id, TRACEPARENT: self.traceparent()}


_current: ContextVar[RequestContext | None] = ContextVar("evara_request_context", default=None)
_sample_threshold = 0  # of 2**56: a new trace is sampled when its last 56 bits are below


def set_sample_ratio(ratio: float) -> None:
    """Sample this share (0..1) of the requests and jobs whose caller has not decided."""
    global _sample_threshold
    _sample_threshold = round(ratio * (1 << 56))


def begin(headers: HttpHeaders | Mapping[str, str]) -> RequestContext:
    """Return a context that continues the headers; it is current until end().

    New ids replace missing and malformed ones.
    """
    request_id = headers.get(REQUEST_ID, "")
    if not VALID_REQUEST_ID.fullmatch(request_id) or redact(request_id) != request_id:
        request_id = secrets.token_hex(16)
    parent_id = None
    if parent := VALID_TRACEPARENT.fullmatch(headers.get(TRACEPARENT, "")):
        trace_id, parent_id, flags = parent.groups()
        sampled = bool(int(flags, 16) & 1)
    else:
        trace_id = secrets.token_hex(16)
        sampled = int(trace_id[-14:], 16) < _sample_threshold
    context = RequestContext(request_id, trace_id, secrets.token_hex(8), parent_id, sampled)
    _current.set(context)
    return context


def end() -> None:
    """Leave the current context."""
    _current.set(None)


@contextmanager
def activate(headers: Mapping[str, str]) -> Iterator[RequestContext]:
    """Run a block, as of a job, in a context that continues the headers or starts anew."""
    outer = _current.get()
    try:
        yield begin(headers)
    finally:
        _current.set(outer)


def current() -> RequestContext | None:
    """Return the context of the request or job that runs in this thread; None outside of one."""
    return _current.get()


def usage_fields() -> dict[str, float]:
    """Return db_ms, db_queries and outbound_ms of the current context; {} outside of one."""
    context = _current.get()
    return {} if context is None else context.usage.log_fields()


def outbound_headers() -> Headers:
    """Return the headers for an outbound call; {} outside requests and jobs."""
    context = _current.get()
    return {} if context is None else context.outbound_headers()
