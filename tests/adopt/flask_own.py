"""A Flask app that counts its requests itself, with metrics and labels of its own.

python flask_own.py PORT
"""

import sys
from time import monotonic

from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram, make_wsgi_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware

app = Flask(__name__)
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/metrics": make_wsgi_app()})  # type: ignore[method-assign]
SERVED = Counter("shop_requests", "All requests.", ["verb", "page"])
FAILED = Counter("shop_failures", "Requests that failed.", ["verb", "page"])
SECONDS = Histogram("shop_seconds", "Durations.", ["verb", "page"], buckets=(0.1, 0.3, 1))


@app.before_request
def remember_start() -> None:
    """Remember when the request began."""
    g.start = monotonic()


@app.after_request
def count(response: Response) -> Response:
    """Count a request, whether it failed, and its duration."""
    labels = (request.method, str(request.url_rule))
    SERVED.labels(*labels).inc()
    FAILED.labels(*labels).inc(response.status_code >= 500)
    SECONDS.labels(*labels).observe(monotonic() - g.start)
    return response


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
