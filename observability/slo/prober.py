"""The prober calls safe routes from outside and exposes when each last answered.

It notices a total outage, which leaves no series behind. It listens on a port of its own for
Prometheus; `python -m observability.slo` runs it.
"""

import threading
import time

import httpx
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from observability.spec import names
from observability.spec.plan import Plan

HURRY = 0.25  # seconds
TIMEOUT = 4.0  # seconds; shorter than the probe's period


class Prober:
    """One thread per route, so that a hanging route does not delay the others."""

    def __init__(self, plan: Plan, base_url: str, key: str):
        self.registry = CollectorRegistry()
        self._plan = plan
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=base_url,
            timeout=TIMEOUT,
            headers={"User-Agent": "evara-prober", **authorization},
        )
        self._probes = Counter(
            names.PROBES, "Probes made", (names.ROUTE, names.OUTCOME), registry=self.registry
        )
        self._seconds = Histogram(
            names.PROBE_DURATION,
            "Seconds until the answer",
            (names.ROUTE,),
            registry=self.registry,
            buckets=[float(b) for b in plan.buckets],
        )
        self._success = Gauge(
            names.PROBE_LAST_SUCCESS,
            "When a probe last succeeded",
            (names.ROUTE,),
            registry=self.registry,
        )
        for route, _ in plan.probe_routes:
            for outcome in names.OUTCOMES:
                self._probes.labels(route, outcome)

    def probe(self, route: str, path: str) -> bool:
        """One probe; True when the answer is 2xx."""
        started = time.perf_counter()
        try:
            ok = self._http.get(path).is_success
        except httpx.HTTPError:
            ok = False
        self._seconds.labels(route).observe(time.perf_counter() - started)
        self._probes.labels(route, "ok" if ok else "error").inc()
        if ok:
            self._success.labels(route).set_to_current_time()
        return ok

    def run(self, stop: threading.Event) -> None:
        """Probes every route on schedule until `stop` is set."""

        def forever(route: str, path: str) -> None:
            every, reached = float(self._plan.probe_every), False
            while not stop.is_set():
                started = time.monotonic()
                reached = self.probe(route, path) or reached
                # hurry until the first success, so that a start is noticed at once
                stop.wait(
                    max(0.0, started + (every if reached else min(every, HURRY)) - time.monotonic())
                )

        for route, http in self._plan.probe_routes:
            threading.Thread(
                target=forever, args=(route, http.path), name=route, daemon=True
            ).start()
        stop.wait()


def serve(plan: Plan, base_url: str, key: str, host: str, port: int) -> None:
    """Probes and exposes until the process ends."""
    prober = Prober(plan, base_url, key)
    start_http_server(port, addr=host, registry=prober.registry)
    prober.run(threading.Event())
