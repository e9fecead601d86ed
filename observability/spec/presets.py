"""The signals of libraries that count the requests of a Python API."""

from dataclasses import replace
from decimal import Decimal

from observability.spec import names
from observability.spec.signals import ANY_SPELLING, Signal, Signals


def seconds(edges: str) -> tuple[Decimal, ...]:
    """Return the edges of a histogram."""
    return tuple(map(Decimal, edges.split()))


# The API of this repository: api/platform/telemetry
EVARA = Signals(
    total=Signal(
        names.HTTP_DURATION + "_count",
        route=names.ROUTE,
        status=names.STATUS,
        has_classes=True,
    ),
    latency=Signal(
        names.HTTP_DURATION,
        route=names.ROUTE,
        status=names.STATUS,
        has_classes=True,
    ),
    codes=Signal(names.HTTP_REQUESTS + "_total", route=names.ROUTE, status=names.CODE),
    of_platform=True,
)
# prometheus-flask-exporter with group_by="url_rule"
FLASK = Signal(
    "flask_http_request_duration_seconds",
    method="method",
    path="url_rule",
    status="status",
    spelling="flask",
    buckets=seconds("0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10"),
)
# prometheus-fastapi-instrumentator: its histogram has no status
FASTAPI = Signal(
    "http_request_duration_seconds",
    method="method",
    path="handler",
    spelling="starlette",
    buckets=seconds("0.1 0.5 1"),
)
# OpenTelemetry's semantic conventions of HTTP, with the names that its exporter for Prometheus has
OTEL = Signal(
    "http_server_request_duration_seconds",
    method="http_request_method",
    path="http_route",
    status="http_response_status_code",
    spelling=ANY_SPELLING,
    buckets=seconds("0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10"),
)


def counted(histogram: Signal) -> Signals:
    """Return signals that all come from one histogram with exact codes."""
    total = replace(histogram, metric=histogram.metric + "_count", buckets=())
    return Signals(total, latency=histogram, codes=total)


PRESETS = {
    "evara": EVARA,
    "flask-exporter": counted(FLASK),
    "fastapi-instrumentator": Signals(
        replace(
            FASTAPI, metric="http_requests_total", status="status", has_classes=True, buckets=()
        ),
        latency=FASTAPI,
    ),
    "otel-http": counted(OTEL),
}
