"""Traces as a real collector receives them; unsampled requests cost nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from flask import Flask

from api.platform.db import database
from api.platform.jobs.leases import Lease
from api.platform.jobs.worker import Jobs
from api.platform.outbound.guarded_calls import Guard, RetryPolicy
from api.platform.state import app_state
from api.platform.telemetry import logs, metrics, request_context
from observability.lib.bound_process import bind
from observability.spec import names
from tests.api.collector import Collector, Received, collecting
from tests.api.conftest import MakeApp, NewDatabase
from tests.api.platform.helpers import ORDER, ORDERS, sample
from tests.api.platform.other_app import orders
from tests.api.platform.other_app.models import Order
from tests.api.platform.other_app.orders import SHIP, SHIPPING
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[4]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = ({"traceparent": f"00-{TRACE}-{SPAN}-{flags}"} for flags in ("01", "00"))
SERVER, CLIENT, INTERNAL = 2, 3, 1
SECRET = "KEY0123456789"
Traced = Callable[..., Flask]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def traced(make_app: MakeApp, migrated: str, collector: Collector) -> Iterator[Traced]:
    """Return a function that creates an app whose spans are sent to the collector."""
    assert migrated

    def make(**changes: Any) -> Flask:
        return make_app(
            **{"otlp_endpoint": collector.url, "trace_ratio": 0.0, "version": "1.2.3"} | changes
        )

    yield make
    request_context.set_sample_ratio(0.0)


def call_warehouse(collector: Collector) -> int:
    """Call another service with a secret in the query; return the status of its response."""
    guard = Guard("warehouse", collector.url, ConnectionError)
    policy = RetryPolicy(seconds=5.0, attempts=1, pause=0.1)
    return guard.get("/parcels", {"key": SECRET}, lambda response: response.status_code, policy)


def received(app: Flask, collector: Collector) -> list[Received]:
    app_state(app).tracing._provider.force_flush()
    return collector.spans()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_request_and_its_statements_are_spans(
    traced: Traced, collector: Collector, migrated: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The span continues the caller's trace; log line and response have the same ids."""
    app = traced()
    answer = app.test_client().post(
        ORDERS, json=ORDER | {"amount": 42.125}, headers=SAMPLED | {"Cookie": SECRET}
    )
    assert answer.status_code == 201
    *statements, server = received(app, collector)
    line = lines(capsys)[-1]
    assert (server.trace_id, server.parent_id, server.kind) == (TRACE, SPAN, SERVER)
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{server.span_id}-01"
    assert line["trace_id"] == TRACE
    assert server.name == "POST /api/v1/orders"
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/v1/orders",
        "http.response.status_code": 201,
        "url.path": ORDERS,
        "url.scheme": "http",
        "evara.request_id": line["request_id"],
    }
    assert server.resource["service.name"] == "orders-api"
    assert server.resource["service.version"] == "1.2.3"
    assert server.resource["deployment.environment.name"] == "test"
    assert {(span.trace_id, span.parent_id, span.kind) for span in statements} == {
        (TRACE, server.span_id, CLIENT)
    }
    expected = {"INSERT", "COMMIT"}
    if migrated.startswith("sqlite"):
        expected.add("BEGIN")  # PostgreSQL's driver sends it with the first statement
    assert expected <= {span.name for span in statements}
    insert = next(span for span in statements if span.name == "INSERT")
    assert insert.attributes["db.system.name"] == urlsplit(migrated).scheme.partition("+")[0]
    assert insert.attributes["db.query.text"].startswith("INSERT INTO")
    assert 0 < sum(span.seconds for span in statements) < server.seconds
    everything = b"".join(collector.bodies)
    assert SECRET.encode() not in everything
    assert b"42.125" not in everything


def test_request_without_traceparent_starts_a_trace(
    traced: Traced, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a ratio of 1; the span has no parent, and the ids of the log line."""
    app = traced(trace_ratio=1.0)
    app.test_client().get("/nowhere")
    [span] = received(app, collector)
    [line] = lines(capsys)
    assert (span.trace_id, span.parent_id, span.name) == (line["trace_id"], "", "GET")
    assert span.attributes["http.response.status_code"] == 404
    assert not span.failed


def test_ratio_of_sampled_requests_is_that_of_the_setting(
    traced: Traced, collector: Collector
) -> None:
    """It is met approximately, whatever the ids."""
    app = traced(trace_ratio=0.25)
    flags = []
    for _ in range(2000):
        with request_context.activate({}) as context:
            flags.append(context.sampled)
    assert 400 < sum(flags) < 600
    assert received(app, collector) == []


@pytest.mark.parametrize(
    "headers", [UNSAMPLED, {}], ids=["the caller said no", "nobody said anything"]
)
def test_unsampled_requests_are_not_exported(
    traced: Traced, collector: Collector, headers: dict[str, str]
) -> None:
    """Outbound calls carry the caller's trace with flag 00."""
    app = traced()

    @app.get("/call")
    def call() -> str:
        call_warehouse(collector)
        with database().read() as session:
            session.get(Order, "x")
        return ""

    answer = app.test_client().get("/call", headers=headers)
    assert answer.status_code == 200
    [asked] = collector.asked
    assert re.fullmatch(
        rf"00-{TRACE if headers else '[0-9a-f]{32}'}-[0-9a-f]{{16}}-00", asked["traceparent"]
    )
    assert asked["traceparent"] == answer.headers["traceresponse"]
    assert asked["X-Request-ID"] == answer.headers["X-Request-ID"]
    assert received(app, collector) == []


def test_job_and_its_calls_are_spans(
    traced: Traced, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    """URLs lack query and key; the log lines have the same ids."""
    app = traced(trace_ratio=1.0)

    def ship(order_id: str, lease: Lease) -> Iterator[int]:
        with database().write() as session:
            lease.renew(session)
            session.get(Order, order_id)
        call_warehouse(collector)
        yield 1

    assert app.test_client().post(ORDERS, json=ORDER, headers=UNSAMPLED).status_code == 201
    app_state(app).tasks = (replace(SHIPPING, run=ship),)
    assert Jobs(app).runners[SHIP].run_all()
    spans = received(app, collector)
    job = spans[-1]
    [call] = [span for span in spans if span.attributes.get("http.request.method")]
    assert (job.name, job.kind, job.parent_id) == (SHIP, INTERNAL, "")
    assert (call.kind, call.parent_id, call.trace_id) == (CLIENT, job.span_id, job.trace_id)
    assert call.attributes["url.full"] == f"{collector.url}/parcels"
    assert call.attributes["http.response.status_code"] == 200
    [asked] = collector.asked
    assert SECRET in asked["path"]
    assert asked["traceparent"].startswith(f"00-{job.trace_id}-{call.span_id}-")
    assert {span.name for span in spans if span.parent_id == job.span_id} >= {
        "SELECT",
        "COMMIT",
        "GET",
    }
    done = lines(capsys)[-1]
    assert (done["message"], done["trace_id"]) == (logs.JOB_DONE, job.trace_id)
    assert SECRET.encode() not in b"".join(collector.bodies)


def test_each_run_of_a_job_is_its_own_trace(traced: Traced, collector: Collector) -> None:
    """A failed run is marked with the class of its exception; every span ends."""
    app = traced(trace_ratio=1.0)

    def broken(*_: object) -> Any:
        raise ValueError(SECRET)

    assert app.test_client().post(ORDERS, json=ORDER, headers=UNSAMPLED).status_code == 201
    app_state(app).tasks = (replace(SHIPPING, run=broken),)
    assert not Jobs(app).runners[SHIP].run_all()
    with app.app_context(), database().read() as session:
        session.get(Order, "of nobody")
    assert not Jobs(app).runners[SHIP].run_all()
    spans = received(app, collector)
    assert len(spans) == len({span.trace_id for span in spans}) == 2
    for span in spans:
        assert span.failed
        assert span.attributes["error.type"] == "ValueError"
    assert SECRET.encode() not in b"".join(collector.bodies)
    assert request_context.current() is None


CALLER = "c3d4e5f60718293a"


def began(seconds_ago: float, **more: str) -> dict[str, str]:
    """Return a gateway's headers: its sampled span, which began that many seconds ago."""
    return SAMPLED | {"X-Request-Start": f"{(time.time() - seconds_ago) * 1000:.0f}"} | more


@pytest.mark.parametrize(
    ("more", "above"),
    [({}, ""), ({"X-Request-Parent": CALLER}, CALLER), ({"X-Request-Parent": "?"}, "")],
)
def test_gateway_is_a_span_above_the_request(
    traced: Traced, collector: Collector, more: dict[str, str], above: str
) -> None:
    """It is a service of its own, from when it began until the response was complete."""
    app = traced(proxy_hops=1)
    answer = app.test_client().get("/health/live", headers=began(2, **more))
    server, gateway = received(app, collector)
    assert (gateway.span_id, gateway.parent_id, gateway.trace_id, gateway.kind) == (
        SPAN,
        above,
        TRACE,
        SERVER,
    )
    assert (server.parent_id, server.trace_id) == (SPAN, TRACE)
    assert gateway.resource["service.name"] == "gateway"
    assert server.resource["service.name"] == "orders-api"
    assert gateway.name == server.name == "GET /health/live"
    assert gateway.attributes["http.response.status_code"] == answer.status_code == 200
    assert 2 <= gateway.seconds < 60
    assert gateway.end >= server.end


@pytest.mark.parametrize(
    ("hops", "headers"),
    [
        (0, lambda: began(2)),
        (1, lambda: SAMPLED),
        (1, lambda: began(61)),
        (1, lambda: began(-30)),
        (1, lambda: SAMPLED | {"X-Request-Start": "t=1"}),
        (1, lambda: SAMPLED | {"X-Request-Start": "9" * 400}),
        (1, lambda: began(2) | {"traceparent": "x"}),
    ],
    ids=[
        "nobody is believed",
        "it does not say",
        "too old",
        "in the future",
        "no number",
        "endless",
        "no span",
    ],
)
def test_implausible_gateway_headers_are_ignored(
    traced: Traced, collector: Collector, hops: int, headers: Callable[[], dict[str, str]]
) -> None:
    """They need a declared proxy, a plausible time and a span; else only our span is sent."""
    app = traced(proxy_hops=hops, trace_ratio=1.0)
    assert app.test_client().get("/health/live", headers=headers()).status_code == 200
    assert [span.resource["service.name"] for span in received(app, collector)] == ["orders-api"]


def test_failed_request_marks_its_span(
    traced: Traced, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 has the class of the exception; 404 is no failure."""
    app = traced()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(SECRET)

    app.test_client().delete("/api/v1/keys/x", headers=SAMPLED)
    monkeypatch.setattr(orders, "paged", broken)
    app.test_client().get(ORDERS, headers=SAMPLED)
    spans = received(app, collector)
    failed = [(span.name, span.attributes["error.type"]) for span in spans if span.failed]
    assert failed == [("GET /api/v1/orders", "ZeroDivisionError")]
    assert SECRET.encode() not in b"".join(collector.bodies)


def test_failed_statement_marks_its_span(
    traced: Traced, collector: Collector, new_database: NewDatabase
) -> None:
    """Statement and request have failed, each with its own class."""
    app = traced(database_url=new_database("empty"))
    app.test_client().get(ORDERS, headers=SAMPLED)
    failed = {
        span.name: span.attributes["error.type"] for span in received(app, collector) if span.failed
    }
    # SQLite's name for it, and PostgreSQL's.
    assert failed.pop("SELECT") in ("OperationalError", "UndefinedTable")
    assert failed == {"GET /api/v1/orders": "503"}


def test_calls_outside_requests_and_jobs_are_not_traced(
    traced: Traced, collector: Collector
) -> None:
    """Even when everything is sampled."""
    app = traced(trace_ratio=1.0)
    httpx.get(collector.url)
    assert received(app, collector) == []


def test_redis_commands_are_spans_below_the_request(
    traced: Traced, collector: Collector, redis_url: str
) -> None:
    """They contain no values; an unsampled request has none."""
    app = traced(limiter_url=redis_url)
    app.test_client().get(ORDERS, headers=UNSAMPLED)
    app.test_client().get(ORDERS, headers=SAMPLED)
    *children, server = received(app, collector)
    commands = [
        span
        for span in children
        if span.attributes.get("db.system.name", span.attributes.get("db.system")) == "redis"
    ]
    assert commands
    assert {span.parent_id for span in commands} == {server.span_id}
    assert b"127.0.0.1:orders.list" not in b"".join(collector.bodies)


def spans_counted(outcome: str) -> float:
    return sample(metrics.REGISTRY, f"{names.TRACE_SPANS}_total", outcome=outcome)


def test_sent_spans_are_counted(traced: Traced, collector: Collector) -> None:
    """Spans that the collector accepted count as ok."""
    app = traced()
    before = spans_counted("ok")
    app.test_client().get("/health/live", headers=SAMPLED)
    assert len(received(app, collector)) == spans_counted("ok") - before == 1


def test_unreachable_collector_loses_only_spans(
    traced: Traced, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are answered; the loss is counted; one line is logged for all batches."""
    monkeypatch.setattr("api.platform.telemetry.otlp.EXPORT_TIMEOUT", 0.5)
    app = traced(otlp_endpoint="http://127.0.0.1:9")
    before = spans_counted("error")
    processor_batches = 3
    for _ in range(processor_batches):
        assert app.test_client().get("/health/live", headers=SAMPLED).status_code == 200
        app_state(app).tracing._provider.force_flush()
    assert spans_counted("error") == before + processor_batches
    about = [
        line for line in lines(capsys) if line["logger"].startswith(("opentelemetry", "urllib3"))
    ]
    assert len(about) == 1


@pytest.mark.parametrize("configured", [True, False], ids=["with a collector", "without"])
def test_libraries_are_imported_only_when_configured(configured: bool, tmp_path: Path) -> None:
    """Without collector and DSN neither OpenTelemetry's SDK nor Sentry is imported."""
    code = """
import sys
from api.app import create_app
from api.config import Settings
create_app(Settings(_env_file=None))
print(sorted(sys.modules.keys() & {"opentelemetry.sdk.trace", "sentry_sdk"}))
"""
    settings = {"EVARA_DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}
    if configured:
        settings |= {
            "EVARA_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "EVARA_SENTRY_DSN": "http://public@127.0.0.1:9/1",
        }
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = "['opentelemetry.sdk.trace', 'sentry_sdk']" if configured else "[]"
    assert result.stdout.strip() == expected


def test_worker_sends_queued_spans_before_it_exits(
    collector: Collector, tmp_path: Path, migrated: str
) -> None:
    """Each worker of gunicorn sends its own spans, the last ones included."""
    settings = {
        "EVARA_DATABASE_URL": migrated,
        "EVARA_OTLP_ENDPOINT": collector.url,
        "EVARA_BIND": "127.0.0.1:0",
        "EVARA_WORKERS": "1",
    }
    log = tmp_path / "gunicorn.log"
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "api/gunicorn.conf.py",
        "api.app:create_app()",
    ]
    with log.open("w") as output:
        process = subprocess.Popen(
            bind(command, "TERM"), cwd=ROOT, env=os.environ | settings, stderr=output
        )
    try:
        until(lambda: re.search(r"Listening at: (http://\S+)", log.read_text()))
        url = re.findall(r"Listening at: (http://\S+)", log.read_text())[0]
        until(lambda: is_live(url))
        assert httpx.get(f"{url}/health/live", headers=SAMPLED).status_code == 200
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    assert [(span.name, span.trace_id) for span in collector.spans()][-1] == (
        "GET /health/live",
        TRACE,
    )


def is_live(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=10, headers=UNSAMPLED).is_success
    except httpx.HTTPError:
        return False
