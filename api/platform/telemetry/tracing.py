"""Spans of requests, jobs and statements, for work that is sampled; OpenTelemetry (otlp.py) is imported only with a collector.

Whether work is sampled is decided by its context before any span is made: work that is not costs a look at a variable.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from flask import Flask, current_app, g, request

from api.config import Settings
from api.platform.state import app_state
from api.platform.telemetry import logs, metrics, request_context

if TYPE_CHECKING:
    from api.platform.telemetry.otlp import Work

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)
STARTED, ABOVE, OLDEST = (
    "X-Request-Start",
    "X-Request-Parent",
    60.0,
)  # of the gateway's span: Unix milliseconds, its caller's span, seconds
_work: "ContextVar[Work | None]" = ContextVar("evara_work", default=None)


def statement(system: str, text: str, seconds: float, error: str | None) -> None:
    """A statement that has just ended, as a child of the work that it belongs to; `text` has placeholders for values."""
    if (work := _work.get()) is None:
        return
    operation = text.split(maxsplit=1)[0].upper() if text else "statement"
    attributes = {"db.system.name": system, "db.query.text": text, "db.operation.name": operation}
    work.child(operation, seconds, attributes, error)


@contextmanager
def job(name: str) -> Iterator[None]:
    """The span of one run of a job; an exception marks it as failed and goes on."""
    tracing = app_state().tracing if current_app else None
    current = request_context.current()
    if tracing is None or current is None:
        yield
        return
    work = tracing.begin(current, name, {"evara.request_id": current.request_id}, server=False)
    _work.set(work if current.sampled else None)
    error: str | None = None
    try:
        yield
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        _work.set(None)
        work.end({}, error)


def init_app(app: Flask, settings: Settings) -> None:
    """Traces the requests and jobs of the app, when there is a collector to send to."""
    request_context.set_sample_ratio(settings.trace_ratio if settings.otlp_endpoint else 0.0)
    if not settings.otlp_endpoint:
        return
    from api.platform.telemetry.otlp import Tracing

    app_state(app).tracing = Tracing(
        settings.otlp_endpoint, logs.SERVICE, settings.version, settings.env
    )


def begin() -> None:
    """Open the span of the current request."""
    tracing, current = app_state().tracing, request_context.current()
    if tracing is None or current is None:
        return
    attributes = describe(current) if current.sampled else {}
    proxied = app_state().settings.proxy_hops > 0
    before = gateway(current) if current.sampled and proxied else None
    work = tracing.begin(
        current, attributes.pop("name", ""), attributes, server=True, before=before
    )
    g.work = work
    _work.set(work if current.sampled else None)


def end(error: BaseException | None) -> None:
    """Close the span of the current request; a status of 500 or above marks it as failed."""
    work: Work | None = g.pop("work", None)
    if work is None:
        return
    _work.set(None)
    status = g.get("status", 500)
    failed = g.get("exception_type") or (type(error).__name__ if error else str(status))
    work.end({"http.response.status_code": status}, failed if status >= 500 else None)


def gateway(current: request_context.RequestContext) -> tuple[int, str | None] | None:
    """When the proxy that called us began, Unix nanoseconds, and its caller's span; None where it does not say, or nothing plausible."""
    said = request.headers.get(STARTED, "")
    started = int(said) if current.parent_id and re.fullmatch(r"\d{13}", said, re.ASCII) else 0
    return (
        (started * 1_000_000, request.headers.get(ABOVE))
        if 0 <= time.time() - started / 1000 <= OLDEST
        else None
    )


def describe(current: request_context.RequestContext) -> dict[str, str]:
    """OpenTelemetry's HTTP semantic conventions for the current request, without its query, and `name`."""
    method = request.method if request.method in METHODS else "_OTHER"
    route = {"http.route": metrics.openapi_path(request.url_rule.rule)} if request.url_rule else {}
    return {
        "name": " ".join(("HTTP" if method == "_OTHER" else method, *route.values())),
        "http.request.method": method,
        "url.path": logs.redact(request.path),
        "url.scheme": request.scheme,
        "evara.request_id": current.request_id,
        **route,
    }
