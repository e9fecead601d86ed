"""The prober against a small real server: outcomes, and exposed metrics."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from prometheus_client import generate_latest

from observability.slo import prober as module
from observability.slo.prober import Prober
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.schema.fields import Http
from tests.serving import serving

STATUSES = {"/moved": 301, "/broken": 500, "/refused": 429}


class Paths(BaseHTTPRequestHandler):
    """A handler with a status by path; /slow responds after the test."""

    release = threading.Event()
    keys: list[str | None] = []  # noqa: RUF012 - of all requests so far

    def do_GET(self) -> None:
        Paths.keys.append(self.headers["Authorization"])
        if self.path == "/slow":
            Paths.release.wait(10)
        self.send_response(STATUSES.get(self.path, 200))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Paths.release.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Paths)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Paths.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


def value(prober: Prober, name: str, **labels: str) -> float | None:
    """Return a sample of the prober's metrics; None where there is no such series."""
    return prober.registry.get_sample_value(name, labels)


def probes(prober: Prober, route: str, outcome: str) -> float | None:
    """Return the number of probes with an outcome."""
    return value(prober, f"{names.PROBES}_total", route=route, outcome=outcome)


@pytest.mark.parametrize(
    ("path", "ok"),
    [("/ok", True), ("/moved", False), ("/broken", False), ("/refused", False), ("/slow", False)],
)
def test_only_success_counts_as_reached(
    path: str, ok: bool, url: str, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors, redirections, refusals and timeouts are failures, and record no success."""
    monkeypatch.setattr(module, "TIMEOUT", 0.2 if path == "/slow" else 5.0)
    prober = Prober(plan, url, "k")
    started = time.time()
    assert prober.probe("orders.list", path) is ok
    assert probes(prober, "orders.list", "ok") == float(ok)
    assert probes(prober, "orders.list", "error") == float(not ok)
    assert value(prober, f"{names.PROBE_DURATION}_count", route="orders.list") == 1
    last_success = value(prober, names.PROBE_LAST_SUCCESS, route="orders.list")
    if ok:
        assert last_success is not None
        assert started <= last_success <= time.time()
    else:
        assert last_success is None


def test_a_server_that_is_gone_is_a_failure(plan: Plan) -> None:
    """A refused connection is an outcome, not an exception."""
    prober = Prober(plan, "http://127.0.0.1:9", "k")
    assert prober.probe("orders.list", "/ok") is False


@pytest.mark.parametrize(("key", "sent"), [("evara_x", "Bearer evara_x"), ("", None)])
def test_key_is_sent_if_there_is_one(key: str, sent: str | None, url: str, plan: Plan) -> None:
    """Services without keys get no header, because servers refuse an empty one."""
    assert Prober(plan, url, key).probe("orders.list", "/ok")
    assert Paths.keys[-1] == sent


def test_series_of_outcomes_exist_from_the_start(plan: Plan, url: str) -> None:
    """increase() would miss a first failure; no success is recorded yet."""
    text = generate_latest(Prober(plan, url, "k").registry).decode()
    for route, _ in plan.probe_routes:
        for outcome in names.OUTCOMES:
            assert f'{names.PROBES}_total{{outcome="{outcome}",route="{route}"}} 0.0' in text
    assert f"{names.PROBE_LAST_SUCCESS}{{" not in text


def test_metrics_are_served_under_known_host_names(plan: Plan, url: str) -> None:
    """Prometheus reads them; a web page whose name resolves to this machine does not."""
    registry = Prober(plan, url, "k").registry
    with serving(module.new_server(registry, "127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.server_port}/metrics"
        assert names.PROBES in httpx.get(address).text
        answer = httpx.get(address, headers={"Host": "evil.example"})
        assert answer.status_code == 400
        assert names.PROBES not in answer.text


def test_every_route_is_probed_until_stopped(plan: Plan, url: str) -> None:
    """A route that hangs does not delay the others."""
    routes = (("a.slow", Http("GET", "/slow")), ("b.ok", Http("GET", "/ok")))
    prober = Prober(replace(plan, probe_routes=routes, probe_every=Decimal("0.01")), url, "k")
    stop = threading.Event()
    runner = threading.Thread(target=prober.run, args=(stop,))
    runner.start()
    for _ in range(1000):
        if (probes(prober, "b.ok", "ok") or 0) >= 3:
            break
        stop.wait(0.01)
    stop.set()
    runner.join()
    assert (probes(prober, "b.ok", "ok") or 0) >= 3
