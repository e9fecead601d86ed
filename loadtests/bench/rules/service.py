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
RATE = re.compile(r"(\+?)([\d.e-]+)$", re.MULTILINE)  # what a second adds to a series


@contextmanager
def serve_metrics(routes: list[str], edges: list[float]) -> Iterator[str]:
    """Serve the metrics of the routes in a thread, and yield the URL."""
    text = render("metrics.txt", routes=routes, edges=edges)
    page = RATE.sub("%d", text) + "\n"
    rates = [(bool(plus), float(rate)) for plus, rate in RATE.findall(text)]

    @Request.application
    def application(_: Request) -> Response:
        now = page % tuple(count(rates, time.time() - EPOCH))
        return Response(now, content_type="text/plain; version=0.0.4")

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server(HOST, 0, application, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{HOST}:{server.port}"
    server.shutdown()


def count(rates: list[tuple[bool, float]], seconds: float) -> Iterator[int]:
    """Yield the events of each series so far.

    A series of which a rate says how much more it grows has all events of the one before it: the
    buckets of a histogram must not contradict each other, or slow requests would seem to vanish.
    """
    events = 0
    for is_more, rate in rates:
        own = int(rate * seconds)
        events = events + own if is_more else own
        yield events
