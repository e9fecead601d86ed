"""Replicas that are missing raise alerts: real servers end, and a real Prometheus watches."""

from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from observability.lib.prometheus import Prometheus
from observability.slo import instances
from observability.slo.prober import Prober
from observability.spec.loading import load_plan
from tests.alerting import alerting, exporting
from tests.raised_alerts import RaisedAlerts
from tests.serving import free_port, serving
from tests.waiting import until


class Health(BaseHTTPRequestHandler):
    """A health check that succeeds."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def missing(prometheus: Prometheus) -> set[tuple[str, str]]:
    """Return name and program of the alerts of this file that are firing."""
    return {
        (alert["labels"]["alertname"], alert["labels"]["program"])
        for alert in prometheus.alerts()
        if alert["state"] == "firing" and "program" in alert["labels"]
    }


@pytest.mark.raises_alert("ReplicaMissing", "ProgramMissing")
def test_stopped_replicas_raise_alerts(
    tmp_path: Path, raised_alerts: RaisedAlerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two that is gone is a ticket, both are a page; one more than declared is fine."""
    known = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    monkeypatch.setattr(instances, "addresses", lambda _: known)
    port = free_port()
    monkeypatch.setenv("EVARA_INSTANCES", f"api:{port}/health=2")
    first, *others = (ThreadingHTTPServer((address, port), Health) for address in known)
    plan = load_plan()
    prober = Prober(plan, "http://127.0.0.1", "")

    def expose() -> str:
        prober.count_instances()
        return generate_latest(prober.registry).decode()

    with ExitStack() as stack, ExitStack() as others_run:
        stack.enter_context(serving(first))
        for server in others:
            others_run.enter_context(serving(server))
        target = stack.enter_context(exporting(expose))
        prometheus = stack.enter_context(alerting(plan, tmp_path / "p", {"prober": target}))
        until(lambda: prometheus.query("min_over_time(evara_instances_present[10s]) == 3"))
        assert not missing(prometheus)
        others_run.close()
        until(lambda: missing(prometheus) == {("ReplicaMissing", "api")})
        assert raised_alerts.are_firing(prometheus, "ReplicaMissing")
        known.clear()  # discovery forgets what is stopped
        until(lambda: missing(prometheus) == {("ProgramMissing", "api")})
        assert raised_alerts.are_firing(prometheus, "ProgramMissing")
