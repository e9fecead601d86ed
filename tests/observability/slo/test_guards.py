"""Guards of the policy that page are raised on a real Prometheus."""

from pathlib import Path

import pytest

from observability.spec.plan import Plan
from tests.alerting import alerting
from tests.raised_alerts import RaisedAlerts
from tests.waiting import until


@pytest.mark.raises_alert("RuleEvaluationFailing")
def test_failing_rule_raises_its_alert(
    plan: Plan, tmp_path: Path, raised_alerts: RaisedAlerts
) -> None:
    """A rule that cannot be evaluated is noticed; without one, nothing fires."""
    with alerting(plan, tmp_path / "sound", {}) as prometheus:
        assert not raised_alerts.are_firing(prometheus, "RuleEvaluationFailing")
    rules = {"failing": "up * on () group_left () (up or vector(1))"}
    with alerting(plan, tmp_path / "failing", {}, rules) as prometheus:
        until(lambda: raised_alerts.are_firing(prometheus, "RuleEvaluationFailing"))
