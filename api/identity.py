"""Which request or job is being worked on: its X-Request-ID and W3C trace context, across threads of work and processes.

Source of the format: W3C Trace Context, "traceparent". It imports nothing of ours.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

REQUEST_ID = "X-Request-ID"
TRACEPARENT = "traceparent"
WELL_FORMED = re.compile(r"[A-Za-z0-9_.:-]{8,64}")  # anything else in X-Request-ID is replaced, so that logs stay ours
PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


@dataclass(frozen=True, slots=True)
class Identity:
    """Ids of one piece of work: `span_id` (16 hex digits) is ours, `parent_id` the caller's or None."""

    request_id: str
    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool

    def headers(self) -> dict[str, str]:
        """What an outbound call or a job carries, so that it belongs to this work."""
        return {REQUEST_ID: self.request_id, TRACEPARENT: f"00-{self.trace_id}-{self.span_id}-0{int(self.sampled)}"}


_current: ContextVar[Identity | None] = ContextVar("evara_identity", default=None)


class Given(Protocol):
    """Headers of a request, or of a job as a mapping."""

    def get(self, name: str, default: str, /) -> str: ...


def begin(given: Given) -> Identity:
    """Continues what the headers say, or starts anew where they are absent or ill-formed; current until end()."""
    request_id = given.get(REQUEST_ID, "")
    parent = PARENT.fullmatch(given.get(TRACEPARENT, ""))
    made = Identity(
        request_id if WELL_FORMED.fullmatch(request_id) else secrets.token_hex(16),
        parent[1] if parent else secrets.token_hex(16),
        secrets.token_hex(8),
        parent[2] if parent else None,
        bool(parent and int(parent[3], 16) & 1),
    )
    _current.set(made)
    return made


def end() -> None:
    """The work is done; lines after it are nobody's."""
    _current.set(None)


@contextmanager
def adopted(given: Given) -> Iterator[Identity]:
    """The work of a job: continues what headers() gave when it was asked for, or starts anew."""
    try:
        yield begin(given)
    finally:
        end()


def current() -> Identity | None:
    """The identity of what this thread works on; None outside requests and jobs."""
    return _current.get()


def headers() -> dict[str, str]:
    """Headers for an outbound call; {} outside requests and jobs."""
    found = _current.get()
    return found.headers() if found else {}
