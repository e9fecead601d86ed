"""Alerts and the drill that the tests of this folder share."""

from typing import Any

from observability.drill.alerts import AlertWatch
from observability.drill.registry import drills
from observability.spec import names
from observability.spec.loading import load_plan

CLOSED_URL = "http://127.0.0.1:9"  # nothing listens there
PLAN = load_plan()
DRILLS = drills(PLAN)
ROUTE_ERRORS = DRILLS["route-errors"]
[(_, SLO)] = ROUTE_ERRORS.required


class FakePrometheus:
    """A Prometheus that has these alerts."""

    def __init__(self, *alerts: dict[str, Any]):
        self._alerts = alerts

    def alerts(self) -> list[dict[str, Any]]:
        return list(self._alerts)


def alert(name: str, state: str = "firing", **labels: str) -> dict[str, Any]:
    severity = {names.SEVERITY: "page"}
    return {"labels": {"alertname": name} | severity | labels, "state": state}


def watch(*alerts: dict[str, Any]) -> AlertWatch:
    """Return a watch for the alerts of route-errors."""
    prometheus: Any = FakePrometheus(*alerts)
    return AlertWatch(ROUTE_ERRORS.required, ROUTE_ERRORS.allowed, prometheus, CLOSED_URL, "page")
