"""The marker `raises_alert`: a marked test fails if it is skipped or no server reported its alerts.

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


def claimed_alerts(item: pytest.Item) -> set[str]:
    """Return the alerts that the markers of a test name."""
    return {str(name) for mark in item.iter_markers(MARKER) for name in mark.args}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a marked test after its last line, unless all its alerts have fired."""
    result = yield
    seen = getattr(item, "funcargs", {}).get("raised_alerts", RaisedAlerts())
    missing = seen.missing(claimed_alerts(item))
    assert not missing, f"no server reported as firing: {', '.join(sorted(missing))}"
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a marked test that is skipped, or is expected to fail: it proves nothing."""
    report = yield
    claimed = claimed_alerts(item)
    if report.skipped and claimed:
        names = ", ".join(sorted(claimed))
        reason = vars(report).pop("wasxfail", report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"has to raise {names}, but was skipped: {reason}"
    return report
