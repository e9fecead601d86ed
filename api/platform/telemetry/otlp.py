"""OpenTelemetry's SDK: spans with the ids of the request context, sent in batches to a collector.

Only tracing.py imports this module, and only when a collector is configured.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass

import httpx
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor, RequestInfo
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api.platform.telemetry import metrics, request_context
from api.platform.telemetry.gateway import GatewaySpan
from api.platform.telemetry.request_context import TRACEPARENT, RequestContext

TRACER = "evara"
MAX_QUEUED_SPANS = 2048
MAX_BATCH_SPANS = 256
EXPORT_INTERVAL = 2000  # milliseconds
EXPORT_TIMEOUT = 3.0  # seconds per batch
MAX_ATTRIBUTE_LENGTH = 1024  # characters
URL_ATTRIBUTES = ("url.full", "http.url")  # in the current and the former conventions


class ContextIds(IdGenerator):
    """Ids of the request context for a root span, so that log lines and headers name the span."""

    def generate_trace_id(self) -> int:
        """Return the trace id of the current context."""
        return int(required_context().trace_id, 16)

    def generate_span_id(self) -> int:
        """Return the span id of the current context."""
        return int(required_context().span_id, 16)


class GatewayIds(ContextIds):
    """Ids for the span of the gateway, which is the parent of the request's root span."""

    def generate_span_id(self) -> int:
        """Return the parent id of the current context."""
        return int(required_context().parent_id or "", 16)


def required_context() -> RequestContext:
    """Return the current request context; raise RuntimeError outside of one."""
    context = request_context.current()
    if not context:
        raise RuntimeError("a root span needs a request context")
    return context


def remote_parent(trace_id: str, span_id: str | None) -> otel_context.Context:
    """Return a context below a span of the caller; an empty one when `span_id` is no span id."""
    carrier = {TRACEPARENT: f"00-{trace_id}-{span_id}-01"}
    return TraceContextTextMapPropagator().extract(carrier, otel_context.Context())


class CountingExporter(OTLPSpanExporter):
    """An exporter that counts the spans it sent and the spans it lost."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send one batch."""
        result = super().export(spans)
        outcome = metrics.outcome(ok=result is SpanExportResult.SUCCESS)
        metrics.TRACE_SPANS.labels(outcome).inc(len(spans))
        return result


@dataclass(frozen=True, slots=True)
class RootSpans:
    """The open root span of a request or job, and the gateway's if there is one; none unsampled."""

    tracer: trace.Tracer
    spans: Sequence[trace.Span]
    token: Token[otel_context.Context]

    def add_call(
        self, name: str, seconds: float, attributes: Mapping[str, str], error: str | None
    ) -> None:
        """Add a finished call as a child span; `error` is the class of its exception."""
        end = time.time_ns()
        start = end - int(seconds * 1e9)
        span = self.tracer.start_span(
            name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start
        )
        mark_failed(span, error)
        span.end(end)

    def end(self, attributes: Mapping[str, str | int], error: str | None) -> None:
        """End the spans and leave their context."""
        otel_context.detach(self.token)
        for span in self.spans:
            span.set_attributes(attributes)
            mark_failed(span, error)
            span.end()


def mark_failed(span: trace.Span, error: str | None) -> None:
    """Set the error status and the class of the error; do nothing when `error` is None.

    The exception's message is left out because it may hold values of the request.
    """
    if error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))


def remove_query(span: trace.Span, _: RequestInfo) -> None:
    """Remove the query from the URL of an outbound call; it may hold an API key."""
    if not isinstance(span, ReadableSpan):
        return
    attributes = span.attributes or {}
    for name in URL_ATTRIBUTES:
        if name in attributes:
            url = httpx.URL(str(attributes[name]))
            span.set_attribute(name, str(url.copy_with(query=None)))


def batch_processor(endpoint: str) -> BatchSpanProcessor:
    """Return a processor that sends spans to the collector at `endpoint` in the background."""
    base_url = endpoint.rstrip("/").removesuffix("/v1/traces")
    exporter = CountingExporter(f"{base_url}/v1/traces", timeout=EXPORT_TIMEOUT)
    return BatchSpanProcessor(exporter, MAX_QUEUED_SPANS, EXPORT_INTERVAL, MAX_BATCH_SPANS)


def instrument_libraries(provider: TracerProvider) -> None:
    """Make redis and httpx record their calls; both patch classes, so only once per process."""
    # redis and httpx then name attributes as tracing.py does.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
    redis = RedisInstrumentor()
    if redis.is_instrumented_by_opentelemetry:
        return
    redis.instrument(tracer_provider=provider)
    HTTPXClientInstrumentor().instrument(tracer_provider=provider, request_hook=remove_query)


def new_provider(
    resource: Resource,
    processor: BatchSpanProcessor,
    sampler: Sampler,
    id_generator: IdGenerator | None = None,
) -> TracerProvider:
    """Return a provider of tracers whose sampled spans go to the processor."""
    limits = SpanLimits(max_attribute_length=MAX_ATTRIBUTE_LENGTH)
    provider = TracerProvider(
        sampler=sampler, resource=resource, id_generator=id_generator, span_limits=limits
    )
    provider.add_span_processor(processor)
    return provider


class Tracing:
    """The tracers of one app; their spans go to the collector at `endpoint` (http://host:4318)."""

    def __init__(self, endpoint: str, service: str, version: str, env: str):
        resource = Resource.create(
            {
                "service.name": service,
                "service.version": version,
                "deployment.environment.name": env,
            }
        )
        gateway_resource = resource.merge(Resource({"service.name": "gateway"}))
        processor = batch_processor(endpoint)
        roots = new_provider(resource, processor, ALWAYS_ON, ContextIds())
        gateways = new_provider(gateway_resource, processor, ALWAYS_ON, GatewayIds())
        # A library's call outside of any request or job has no parent and is dropped.
        calls = new_provider(resource, processor, ParentBased(ALWAYS_OFF))
        instrument_libraries(calls)
        self._provider = roots
        self._root_tracer = roots.get_tracer(TRACER, version)
        self._gateway_tracer = gateways.get_tracer(TRACER, version)
        self._call_tracer = calls.get_tracer(TRACER, version)
        with suppress_instrumentation():
            self._suppressed = otel_context.get_current()

    def suppress(self) -> RootSpans:
        """Keep redis and httpx from recording calls until the result, which has no span, ends."""
        token = otel_context.attach(self._suppressed)
        return RootSpans(self._call_tracer, (), token)

    def start(
        self,
        context: RequestContext,
        name: str,
        attributes: Mapping[str, str],
        *,
        is_server: bool,
        gateway: GatewaySpan | None = None,
    ) -> RootSpans:
        """Start the root span of a sampled request or job, and the gateway's; the root is current.

        Both spans have the same name, kind and attributes.
        """
        kind = SpanKind.SERVER if is_server else SpanKind.INTERNAL
        parent = remote_parent(context.trace_id, context.parent_id)
        spans = [self._root_tracer.start_span(name, parent, kind, attributes)]
        token = otel_context.attach(trace.set_span_in_context(spans[0]))
        if gateway:
            parent = remote_parent(context.trace_id, gateway.parent_id)
            start_ns = gateway.start_ns
            spans.append(
                self._gateway_tracer.start_span(name, parent, kind, attributes, start_time=start_ns)
            )
        return RootSpans(self._call_tracer, spans, token)
