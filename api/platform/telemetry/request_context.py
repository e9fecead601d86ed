"""Which request or job is being worked on: its X-Request-ID and W3C trace context, across threads of work and processes.

Sources of the formats: W3C Trace Context, "traceparent", and its editors' draft, "traceresponse". It imports nothing of ours.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from werkzeug.datastructures import Headers

REQUEST_ID = "X-Request-ID"
TRACEPARENT = "traceparent"
TRACERESPONSE = "traceresponse"  # as the draft and OpenTelemetry name it: a traceparent on an answer would be taken for a request's
WELL_FORMED = re.compile(
    r"(?!evara_)[A-Za-z0-9_.:-]{8,64}"
)  # anything else in X-Request-ID, a key for one, is replaced
PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)


@dataclass(slots=True)
class Spent:
    """What one piece of work has spent so far in calls to others."""

    db_seconds: float = 0.0
    db_queries: int = 0
    outbound_seconds: float = 0.0

    def line(self) -> dict[str, float]:
        """The sums as a log line has them."""
        return {
            "db_ms": round(self.db_seconds * 1000, 2),
            "db_queries": self.db_queries,
            "outbound_ms": round(self.outbound_seconds * 1000, 2),
        }


@dataclass(frozen=True, slots=True)
class Identity:
    """Ids of one piece of work: `span_id` (16 hex digits) is ours, `parent_id` the caller's or None."""

    request_id: str
    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool
    spent: Spent = field(default_factory=Spent, compare=False)

    def context(self) -> str:
        """Trace id, our span's id and whether it is sampled, as traceparent and traceresponse write them."""
        return f"00-{self.trace_id}-{self.span_id}-0{int(self.sampled)}"

    def headers(self) -> dict[str, str]:
        """What an outbound call or a job carries, so that it belongs to this work."""
        return {REQUEST_ID: self.request_id, TRACEPARENT: self.context()}


_current: ContextVar[Identity | None] = ContextVar("evara_identity", default=None)
_threshold = 0  # of 2**56: how many of the trace ids that start here are sampled


def sample(ratio: float) -> None:
    """From now on this share (0..1) of the work that no caller has decided about is sampled."""
    global _threshold
    _threshold = round(ratio * (1 << 56))


def begin(given: Headers | Mapping[str, str]) -> Identity:
    """Continues what the headers say, or starts anew where they are absent or ill-formed; current until end()."""
    request_id = given.get(REQUEST_ID, "")
    parent = PARENT.fullmatch(given.get(TRACEPARENT, ""))
    trace_id = parent[1] if parent else secrets.token_hex(16)
    made = Identity(
        request_id if WELL_FORMED.fullmatch(request_id) else secrets.token_hex(16),
        trace_id,
        secrets.token_hex(8),
        parent[2] if parent else None,
        bool(int(parent[3], 16) & 1) if parent else int(trace_id[-14:], 16) < _threshold,
    )
    _current.set(made)
    return made


def end() -> None:
    """The work is done; lines after it are nobody's."""
    _current.set(None)


@contextmanager
def adopted(given: Mapping[str, str]) -> Iterator[Identity]:
    """The work of a job: continues what headers() gave when it was asked for, or starts anew."""
    try:
        yield begin(given)
    finally:
        end()


def current() -> Identity | None:
    """The identity of what this thread works on; None outside requests and jobs."""
    return _current.get()


def spent() -> dict[str, float]:
    """db_ms, db_queries and outbound_ms of the current work, for its log line; {} outside requests and jobs."""
    found = _current.get()
    return found.spent.line() if found else {}


def headers() -> dict[str, str]:
    """Headers for an outbound call; {} outside requests and jobs."""
    found = _current.get()
    return found.headers() if found else {}
