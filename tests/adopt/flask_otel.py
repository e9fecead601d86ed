"""A Flask app with HTTP metrics of OpenTelemetry, in the stable semantic conventions.

OTEL_SEMCONV_STABILITY_OPT_IN=http python flask_otel.py PORT
"""

import sys

from flask import Flask, request
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import make_wsgi_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware

set_meter_provider(MeterProvider([PrometheusMetricReader()]))
app = Flask(__name__)
FlaskInstrumentor().instrument_app(app)


@app.get("/orders")
def list_orders() -> list[int]:
    """Return the ids of all orders."""
    return [7, 8]


@app.get("/orders/<int:order_id>")
def get_order(order_id: int) -> dict[str, int]:
    """Return an order; fail if the query says so."""
    if "fail" in request.args:
        raise RuntimeError("the order is lost")
    return {"id": order_id}


@app.delete("/orders/<int:order_id>")
def delete_order(order_id: int) -> tuple[str, int]:  # noqa: ARG001
    """Delete an order."""
    return "", 204


app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/metrics": make_wsgi_app()})

if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]))
