"""A real OTLP/HTTP collector, which also imitates ThingSpeak and Sentry; it records requests."""

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brotli
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.serving import serving

PACKED = {"gzip": gzip.decompress, "br": brotli.decompress, "": bytes}
FEED = {"channel": {"id": 1}, "feeds": []}


@dataclass(frozen=True)
class Received:
    """A span as it was received, with the attributes of its resource."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]
    seconds: float
    end: int


class Handler(BaseHTTPRequestHandler):
    server: "Collector"

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers.items()) | {"path": self.path})
        self.answer(json.dumps(FEED).encode(), "application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(PACKED[self.headers.get("Content-Encoding", "")](body))
        time.sleep(self.server.delay)
        self.answer(ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf")

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Collector(ThreadingHTTPServer):
    """A server on a free port; `delay` is the seconds that it takes to respond."""

    delay: float = 0.0
    bodies: list[bytes] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[Received]:
        """Every span so far, in the order of their ends."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        spans = [
            Received(
                span.name,
                span.kind,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.status.code == 2,
                {pair.key: value(pair.value) for pair in span.attributes},
                {pair.key: value(pair.value) for pair in resource.resource.attributes},
                (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                span.end_time_unix_nano,
            )
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(spans, key=lambda span: span.end)


def value(given: Any) -> Any:
    return getattr(given, given.WhichOneof("value"))


@contextmanager
def collecting() -> Iterator[Collector]:
    with serving(Collector()) as server:
        yield server
