"""The marker `raises_alert`: a marked test fails unless a server reported its alerts as firing.

`check` requires the marker of every test that the catalogue or the policy names (docs/checks.md).
"""

from collections.abc import Generator
from typing import Any

import pytest

from observability.lib.prometheus import Prometheus

MARKER = "raises_alert"


class RaisedAlerts:
    """The names of the alerts that servers reported as firing while a test ran."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def missing(self, names: set[str]) -> set[str]:
        """Return those of the names that no server has reported."""
        return names - self._names

    def are_firing(self, prometheus: Prometheus, *names: str) -> bool:
        """Return whether a Prometheus reports these alerts as firing now; remember what it says."""
        firing = {
            alert["labels"]["alertname"]
            for alert in prometheus.alerts()
            if alert["state"] == "firing"
        }
        self._names |= firing
        return firing.issuperset(names)


@pytest.fixture
def raised_alerts() -> RaisedAlerts:
    """Return what collects the alerts that fire in this test."""
    return RaisedAlerts()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Fail a marked test after its last line, unless all its alerts have fired."""
    result = yield
    claimed = {str(name) for mark in pyfuncitem.iter_markers(MARKER) for name in mark.args}
    seen = pyfuncitem.funcargs.get("raised_alerts", RaisedAlerts())
    missing = seen.missing(claimed)
    assert not missing, f"no server reported as firing: {', '.join(sorted(missing))}"
    return result
