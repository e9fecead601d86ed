"""The impact of a load run: which alerts it names."""

from observability.load import impact
from observability.load.server_counts import Increase
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.load.support import FakePrometheus


def test_alerts_leave_the_watchdog_out(plan: Plan) -> None:
    """The watchdog always fires; anything else is listed with its SLO, severity and duration."""
    series = [
        ({"alertname": names.WATCHDOG_ALERT, "severity": "none"}, 9.0),
        ({"alertname": names.BURN_ALERT, "slo": "nodes.list-probe", "severity": "page"}, 3.0),
    ]
    prometheus = FakePrometheus(**{names.ALERTS: series})
    rows = impact.list_alerts(prometheus, plan, Increase(0, 60, {}))
    assert rows == [
        {"alert": names.BURN_ALERT, "slo": "nodes.list-probe", "severity": "page", "seconds": 15.0}
    ]
