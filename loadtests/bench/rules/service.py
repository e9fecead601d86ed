"""The metrics of a synthetic service with any number of routes."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from loadtests.bench.rules.templates import render
from observability.devstack.layout import HOST

# Counters are linear in time since then, so that they can be told for any moment of the past.
EPOCH = 1_700_000_000
RATE = re.compile(r"[\d.e-]+$", re.MULTILINE)  # what a second adds to a series


@contextmanager
def serve_metrics(routes: list[str], edges: list[float]) -> Iterator[str]:
    """Serve the metrics of the routes in a thread, and yield the URL."""
    text = render("metrics.txt", routes=routes, edges=edges)
    page = RATE.sub("%d", text) + "\n"
    rates = [float(rate) for rate in RATE.findall(text)]

    @Request.application
    def application(_: Request) -> Response:
        seconds = time.time() - EPOCH
        now = page % tuple(rate * seconds for rate in rates)
        return Response(now, content_type="text/plain; version=0.0.4")

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server(HOST, 0, application, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{HOST}:{server.port}"
    server.shutdown()
