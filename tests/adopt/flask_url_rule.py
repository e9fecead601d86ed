"""A Flask app with prometheus-flask-exporter, whose label is the rule of the URL.

python flask_url_rule.py PORT
"""

import sys

from flask import Flask, request
from prometheus_flask_exporter import PrometheusMetrics

app = Flask(__name__)
PrometheusMetrics(app, group_by="url_rule")


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


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]))
