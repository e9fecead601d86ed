"""Small apps of other services, and the metrics pages that their libraries write.

Each runs in a process of its own (`page`), because OpenTelemetry instruments a process once.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from flask import Flask, Response
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from observability.devstack.layout import ROOT

ORDERS = ("/orders", "/orders/7")


@cache
def page(app: str, *paths: str) -> str:
    """Return the page of one of the apps after a GET of each path."""
    command = [sys.executable, "-m", "tests.metrics_apps", app, *paths]
    environment = os.environ | {"OTEL_SEMCONV_STABILITY_OPT_IN": "http"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def shop() -> Flask:
    """Return a Flask app with two routes."""
    app = Flask("shop")
    app.add_url_rule("/orders", "list", lambda: Response("[]"))
    app.add_url_rule("/orders/<int:order_id>", "get", lambda order_id: Response(str(order_id)))
    return app


def flask_exporter(paths: list[str]) -> str:
    """Return the page of prometheus-flask-exporter."""
    from prometheus_flask_exporter import PrometheusMetrics

    app, registry = shop(), CollectorRegistry()
    PrometheusMetrics(app, registry=registry, group_by="url_rule")
    for path in paths:
        app.test_client().get(path)
    return str(app.test_client().get("/metrics").text)


def fastapi_instrumentator(paths: list[str]) -> str:
    """Return the page of prometheus-fastapi-instrumentator."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from prometheus_fastapi_instrumentator import Instrumentator

    app, registry = FastAPI(), CollectorRegistry()
    app.get("/orders")(lambda: "none")
    app.get("/orders/{order_id}")(lambda order_id: order_id)
    Instrumentator(registry=registry, excluded_handlers=["/metrics"]).instrument(app).expose(app)
    client = TestClient(app)
    for path in paths:
        client.get(path)
    return client.get("/metrics").text


def otel(paths: list[str]) -> str:
    """Return the page of OpenTelemetry's exporter."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider

    app, before = shop(), set(REGISTRY._collector_to_names)
    reader = PrometheusMetricReader()
    [collector] = set(REGISTRY._collector_to_names) - before
    provider = MeterProvider([reader])
    FlaskInstrumentor.instrument_app(app, meter_provider=provider)
    registry = CollectorRegistry()
    for path in paths:
        app.test_client().get(path)
    registry.register(collector)
    return generate_latest(registry).decode()


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve requests with a handler; yield the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    pages = {"flask": flask_exporter, "fastapi": fastapi_instrumentator, "otel": otel}
    print(pages[sys.argv[1]](sys.argv[2:]))
