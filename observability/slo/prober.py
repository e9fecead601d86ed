"""The prober calls safe routes from outside and exposes when each last answered.

It notices a total outage, which leaves no series behind, and counts the instances of the stack's
programs. It listens on a port of its own for Prometheus; `python -m observability.slo` runs it.
"""

import os
import threading
import time
from collections.abc import Iterator
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from observability.slo.instances import Count, count_instances, count_programs
from observability.spec import host_names, names
from observability.spec.http_handler import GuardedHandler
from observability.spec.plan import Plan

FIRST_SUCCESS_SECONDS = 0.25  # between probes until the first success
TIMEOUT = 4.0  # seconds; shorter than the probe's period
SETTLED_PROBES = 2  # for as many periods a program must have run, so that each end is noticed


class Prober:
    """One thread per route, so that a hanging route does not delay the others."""

    def __init__(self, plan: Plan, base_url: str, key: str):
        """Prepare the client and the metrics; an empty key sends no authorization."""
        self.registry = CollectorRegistry()
        self._plan = plan
        headers = {"User-Agent": "evara-prober"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._http = httpx.Client(base_url=base_url, timeout=TIMEOUT, headers=headers)
        self._probes = Counter(
            names.PROBES, "Probes of a route", (names.ROUTE, names.OUTCOME), registry=self.registry
        )
        self._seconds = Histogram(
            names.PROBE_DURATION,
            "Seconds until the answer",
            (names.ROUTE,),
            registry=self.registry,
            buckets=plan.bucket_edges,
        )
        self._success = Gauge(
            names.PROBE_LAST_SUCCESS,
            "When a probe last succeeded",
            (names.ROUTE,),
            registry=self.registry,
        )
        self._declared, self._present = (
            Gauge(name, "Instances of a program", (names.LOG_PROGRAM,), registry=self.registry)
            for name in (names.INSTANCES_DECLARED, names.INSTANCES_PRESENT)
        )
        for route, _ in plan.probe_routes:
            for outcome in names.OUTCOMES:
                self._probes.labels(route, outcome)

    def probe(self, route: str, path: str) -> bool:
        """Probe a route once and return whether the answer is 2xx."""
        started = time.perf_counter()
        try:
            succeeded = self._http.get(path).is_success
        except httpx.HTTPError:
            succeeded = False
        seconds = time.perf_counter() - started
        self._seconds.labels(route).observe(seconds)
        self._probes.labels(route, "ok" if succeeded else "error").inc()
        if succeeded:
            self._success.labels(route).set_to_current_time()
        return succeeded

    def run(self, stop: threading.Event) -> None:
        """Probe every route and count instances on schedule until `stop` is set."""
        for route, http in self._plan.probe_routes:
            thread = threading.Thread(
                target=self._probe_repeatedly,
                args=(route, http.path, stop),
                name=route,
                daemon=True,
            )
            thread.start()
        while not stop.wait(float(self._plan.probe_every)):
            self.count_instances()

    def count_instances(self) -> None:
        """Count the declared and the present instances of each program."""
        for program, declared, present in self._counts():
            self._declared.labels(program).set(declared)
            self._present.labels(program).set(present)

    def _counts(self) -> Iterator[Count]:
        """Yield the counts of the stack's programs: containers, or those of supervisord."""
        yield from count_instances(os.environ.get("EVARA_INSTANCES", ""))
        if supervisor := os.environ.get("EVARA_SUPERVISOR"):
            yield from count_programs(supervisor, float(self._plan.probe_every) * SETTLED_PROBES)

    def _probe_repeatedly(self, route: str, path: str, stop: threading.Event) -> None:
        """Probe a route until `stop` is set.

        Until the first success the pauses are short, so that a start is noticed at once.
        """
        period = float(self._plan.probe_every)
        has_succeeded = False
        while not stop.is_set():
            started = time.monotonic()
            has_succeeded |= self.probe(route, path)
            pause = period if has_succeeded else min(period, FIRST_SUCCESS_SECONDS)
            elapsed = time.monotonic() - started
            stop.wait(max(0.0, pause - elapsed))


def new_server(registry: CollectorRegistry, host: str, port: int) -> WSGIServer:
    """Return a server for the metrics; the caller runs serve_forever."""

    class Handler(GuardedHandler, WSGIRequestHandler):
        hosts = host_names.from_environment(host)

    return make_server(
        host, port, make_wsgi_app(registry), ThreadingWSGIServer, handler_class=Handler
    )


def serve(plan: Plan, base_url: str, key: str, host: str, port: int) -> None:
    """Probe and expose metrics until the process ends."""
    prober = Prober(plan, base_url, key)
    server = new_server(prober.registry, host, port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    prober.run(threading.Event())
