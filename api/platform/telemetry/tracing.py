"""Spans of sampled requests, jobs and database statements, for a trace collector if there is one.

The request context decides whether a request or job is sampled before any span exists, so tracing
adds one look at a variable to unsampled work. Without a collector OpenTelemetry is not imported.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from flask import Flask, g, request

from api.platform.config import PlatformSettings
from api.platform.state import app_state
from api.platform.telemetry import gateway, metrics, request_context
from api.platform.telemetry.request_context import RequestContext
from observability.spec.plan import Plan
from observability.spec.redaction import redact

if TYPE_CHECKING:
    from api.platform.telemetry.otlp import RootSpans, Tracing

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)
# The sampled request or job that runs in this thread.
_sampled: "ContextVar[RootSpans | None]" = ContextVar("evara_sampled", default=None)


def record_statement(system: str, text: str, seconds: float, error: str | None) -> None:
    """Add a finished database statement to the current trace; `text` has placeholders for values.

    OpenTelemetry's instrumentation of SQLAlchemy would add 30 µs to unsampled requests.
    """
    root_spans = _sampled.get()
    if not root_spans:
        return
    operation = "statement"
    if text:
        operation = text.split(maxsplit=1)[0].upper()
    attributes = {"db.system.name": system, "db.query.text": text, "db.operation.name": operation}
    root_spans.add_call(operation, seconds, attributes, error)


@contextmanager
def job(name: str) -> Iterator[None]:
    """Trace one run of a job; an exception marks the span as failed and propagates."""
    tracing = app_state().tracing
    context = request_context.current()
    if not tracing or not context:
        yield
        return
    root_spans = start_job(tracing, context, name)
    error: str | None = None
    try:
        yield
    except BaseException as exception:
        error = type(exception).__name__
        raise
    finally:
        _sampled.set(None)
        root_spans.end({}, error)


def start_job(tracing: "Tracing", context: RequestContext, name: str) -> "RootSpans":
    """Start the span of the current job."""
    if not context.sampled:
        return tracing.suppress()
    attributes = {"evara.request_id": context.request_id}
    root_spans = tracing.start(context, name, attributes, is_server=False)
    _sampled.set(root_spans)
    return root_spans


def init_app(app: Flask, settings: PlatformSettings, plan: Plan) -> None:
    """Trace the requests and jobs of the app if the settings name a collector."""
    if not settings.otlp_endpoint:
        request_context.set_sample_ratio(0.0)
        return
    from api.platform.telemetry.otlp import Tracing

    request_context.set_sample_ratio(settings.trace_ratio)
    app_state(app).tracing = Tracing(
        settings.otlp_endpoint, plan.service, settings.version, settings.env
    )


def begin() -> None:
    """Start the span of the current request."""
    tracing = app_state().tracing
    context = request_context.current()
    if not tracing or not context:
        return
    if context.sampled:
        g.root_spans = start_request(tracing, context)
        _sampled.set(g.root_spans)
    else:
        g.root_spans = tracing.suppress()


def start_request(tracing: "Tracing", context: RequestContext) -> "RootSpans":
    """Start the span of the current request, and the gateway's if a trusted proxy describes it."""
    gateway_span = None
    if context.parent_id and app_state().settings.proxy_hops > 0:
        gateway_span = gateway.from_headers()
    attributes = request_attributes(context)
    name = span_name(attributes)
    return tracing.start(context, name, attributes, is_server=True, gateway=gateway_span)


def request_attributes(context: RequestContext) -> dict[str, str]:
    """Return the attributes of the current request, as OpenTelemetry's HTTP conventions name them.

    The query is left out because it may hold values.
    """
    attributes = {
        "http.request.method": "_OTHER",
        "url.path": redact(request.path),
        "url.scheme": request.scheme,
        "evara.request_id": context.request_id,
    }
    if request.method in METHODS:
        attributes["http.request.method"] = request.method
    if request.url_rule:
        attributes["http.route"] = metrics.openapi_path(request.url_rule.rule)
    return attributes


def span_name(attributes: dict[str, str]) -> str:
    """Return the method and the route, as OpenTelemetry's HTTP conventions name a server span."""
    method = attributes["http.request.method"].replace("_OTHER", "HTTP")
    return f"{method} {attributes.get('http.route', '')}".rstrip()


def end(exception: BaseException | None) -> None:
    """End the span of the current request; a status of 500 or above marks it as failed."""
    root_spans: RootSpans | None = g.pop("root_spans", None)
    if not root_spans:
        return
    _sampled.set(None)
    status = g.get("status", 500)
    root_spans.end({"http.response.status_code": status}, error_type(status, exception))


def error_type(status: int, exception: BaseException | None) -> str | None:
    """Return the class of the exception, else the status; None when the request did not fail."""
    if status < 500:
        return None
    if "exception_type" in g:
        return str(g.exception_type)
    if exception:
        return type(exception).__name__
    return str(status)
