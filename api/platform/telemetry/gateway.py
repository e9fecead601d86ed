"""The span of the gateway that forwarded a request, as the gateway's headers describe it."""

import re
import time
from typing import NamedTuple

from flask import request

STARTED = "X-Request-Start"
PARENT = "X-Request-Parent"
UNIX_MILLISECONDS = re.compile(r"\d{13}", re.ASCII)
MAX_AGE = 60.0  # seconds; an older start is implausible


class GatewaySpan(NamedTuple):
    """The start of a gateway's span, and the id of its parent, the span of the gateway's caller."""

    start_ns: int  # Unix nanoseconds
    parent_id: str | None


def from_headers() -> GatewaySpan | None:
    """Return the gateway's span; None when the headers of the request give no plausible start."""
    started = request.headers.get(STARTED, "")
    if not UNIX_MILLISECONDS.fullmatch(started):
        return None
    milliseconds = int(started)
    age = time.time() - milliseconds / 1000
    if not 0 <= age <= MAX_AGE:
        return None
    return GatewaySpan(milliseconds * 1_000_000, request.headers.get(PARENT))
