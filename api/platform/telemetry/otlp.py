"""OpenTelemetry's SDK as we use it: our ids, spans only under sampled work, small batches; imported by tracing.py alone."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor, RequestInfo
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api.platform.telemetry import metrics, request_context
from api.platform.telemetry.request_context import TRACEPARENT, RequestContext

QUEUE, BATCH, EVERY_MS = (
    2048,
    256,
    2000,
)  # spans that wait at most, that are sent at once, and how often
TIMEOUT = 3.0  # seconds for one batch
LONGEST = 1024  # characters of an attribute
URLS = ("url.full", "http.url")  # in the conventions of today and of yesterday


class OurIds(IdGenerator):
    """The first span of a request or job has the ids of its context, so that log lines and headers name it."""

    def generate_trace_id(self) -> int:
        return int(current().trace_id, 16)

    def generate_span_id(self) -> int:
        return int(current().span_id, 16)


class GatewayIds(OurIds):
    """The span of the gateway that called us has the id that it said is our parent's."""

    def generate_span_id(self) -> int:
        return int(current().parent_id or "", 16)


def below(trace_id: str, span_id: str | None) -> contexts.Context:
    """The context under somebody else's span; an empty one where there is none."""
    return TraceContextTextMapPropagator().extract(
        {TRACEPARENT: f"00-{trace_id}-{span_id}-01"}, contexts.Context()
    )


def current() -> RequestContext:
    if (found := request_context.current()) is None:
        raise RuntimeError("a first span is needs a request context")
    return found


class Counted(SpanExporter):
    """An exporter whose results are counted: a collector that is away costs spans, and somebody should see how many."""

    def __init__(self, inner: SpanExporter):
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        metrics.TRACE_SPANS.labels("ok" if result is SpanExportResult.SUCCESS else "error").inc(
            len(spans)
        )
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


@dataclass(frozen=True, slots=True)
class Work:
    """A request or job that has begun: its span and the gateway's, or none while nothing below it may make one."""

    tracer: trace.Tracer
    spans: tuple[trace.Span, ...]
    token: object

    def child(
        self, name: str, seconds: float, attributes: Mapping[str, str], error: str | None
    ) -> None:
        """A call that has just ended; the instrumentation of SQLAlchemy would cost unsampled requests 30 µs."""
        end = time.time_ns()
        start = end - int(seconds * 1e9)
        span = self.tracer.start_span(
            name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start
        )
        fail(span, error)
        span.end(end)

    def end(self, attributes: Mapping[str, str | int], error: str | None) -> None:
        contexts.detach(self.token)  # type: ignore[arg-type] # its type is of no importance here
        for span in self.spans:
            span.set_attributes(attributes)
            fail(span, error)
            span.end()


def fail(span: trace.Span, error: str | None) -> None:
    """Marks a span with the class of an exception or a status; messages may hold values, and stand in the log."""
    if error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))


def without_query(span: trace.Span, _: RequestInfo) -> None:
    """ThingSpeak's key is in the query."""
    for name in URLS:
        if isinstance(span, ReadableSpan) and (url := (span.attributes or {}).get(name)):
            span.set_attribute(name, str(httpx.URL(str(url)).copy_with(query=None)))


class Tracing:
    """The spans of one app, sent to the collector at `endpoint` (http://host:4318)."""

    def __init__(self, endpoint: str, service: str, version: str, env: str):
        os.environ.setdefault(
            "OTEL_SEMCONV_STABILITY_OPT_IN", "http,database"
        )  # today's names of attributes, as ours
        resource = Resource.create(
            {
                "service.name": service,
                "service.version": version,
                "deployment.environment.name": env,
            }
        )
        limits = SpanLimits(max_attribute_length=LONGEST)
        exporter = Counted(
            OTLPSpanExporter(
                f"{endpoint.rstrip('/').removesuffix('/v1/traces')}/v1/traces", timeout=TIMEOUT
            )
        )
        processor = BatchSpanProcessor(exporter, QUEUE, EVERY_MS, BATCH)
        self._first = TracerProvider(
            sampler=ALWAYS_ON, id_generator=OurIds(), resource=resource, span_limits=limits
        )
        # What a library does outside of a request or job has no parent, and is nobody's.
        self._below = TracerProvider(
            sampler=ParentBased(ALWAYS_OFF), resource=resource, span_limits=limits
        )
        named = resource.merge(Resource({"service.name": "gateway"}))
        gateway = TracerProvider(
            sampler=ALWAYS_ON, id_generator=GatewayIds(), resource=named, span_limits=limits
        )
        for provider in (self._first, self._below, gateway):
            provider.add_span_processor(processor)
        self._tracer = self._below.get_tracer("evara", version)
        self._first_tracer, self._gateway_tracer = (
            provider.get_tracer("evara", version) for provider in (self._first, gateway)
        )
        with suppress_instrumentation():
            self._silent = contexts.get_current()
        if (
            not RedisInstrumentor().is_instrumented_by_opentelemetry
        ):  # they patch classes: once per process
            RedisInstrumentor().instrument(tracer_provider=self._below)
            HTTPXClientInstrumentor().instrument(
                tracer_provider=self._below, request_hook=without_query
            )

    def begin(
        self,
        work: RequestContext,
        name: str,
        attributes: Mapping[str, str],
        *,
        server: bool,
        before: tuple[int, str | None] | None = None,
    ) -> Work:
        """The first span of a request or job, current until its end; work that is not sampled keeps libraries silent.

        `before` adds the span of the gateway that called us: when it began, Unix nanoseconds, and its caller's span.
        """
        if not work.sampled:
            return Work(self._tracer, (), contexts.attach(self._silent))
        kind = SpanKind.SERVER if server else SpanKind.INTERNAL
        spans = [
            self._first_tracer.start_span(
                name, below(work.trace_id, work.parent_id), kind, attributes
            )
        ]
        if before:
            spans += [
                self._gateway_tracer.start_span(
                    name, below(work.trace_id, before[1]), kind, attributes, start_time=before[0]
                )
            ]
        return Work(
            self._tracer, tuple(spans), contexts.attach(trace.set_span_in_context(spans[0]))
        )

    def flush(self) -> None:
        """Sends what waits, and returns when the collector has taken it or has had its time; a process that ends does so by itself."""
        self._first.force_flush()
