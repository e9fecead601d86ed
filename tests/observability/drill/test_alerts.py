"""The watch over the alerts of a drill, without servers."""

from typing import Any

import pytest

from observability.drill import DrillFailed, alerts
from observability.spec import names
from tests.observability.drill.support import (
    DRILLS,
    ROUTE_ERRORS,
    SLO,
    FakePrometheus,
    alert,
    watch,
)


def test_an_unexpected_alert_fails_the_drill() -> None:
    """Anything that fires beside the required and the allowed alerts is an error."""
    observed = watch(alert(names.BURN_ALERT, slo=SLO), alert("TargetDown"))
    with pytest.raises(DrillFailed, match=r"^TargetDown fired"):
        observed.observe()


def test_the_watchdog_and_pending_alerts_are_allowed() -> None:
    """The watchdog always fires, and a pending alert notified nobody."""
    observed = watch(
        alert(names.WATCHDOG_ALERT),
        alert("TargetDown", "pending"),
        alert(names.BURN_ALERT, "pending", slo=SLO),
    )
    observed.observe()
    assert observed.required <= observed.active()
    assert not observed.required <= observed.firing()


def test_an_alert_may_be_allowed_for_every_slo() -> None:
    """An allowed alert with `*` stands for the alert of any SLO, and for no other alert."""
    drill = DRILLS["stop-api"]
    firing = [alert(names.UNMEASURED_ALERT, slo="orders.list-probe")]
    prometheus: Any = FakePrometheus(*firing)
    alerts.AlertWatch(drill.required, drill.allowed, prometheus, "", "page").observe()
    with pytest.raises(DrillFailed, match=names.UNMEASURED_ALERT):
        watch(*firing).observe()


def test_a_missing_alert_fails_the_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the alert that did not come."""
    monkeypatch.setattr(alerts, "STEP_SECONDS", 0.3)
    with pytest.raises(DrillFailed, match=f"not firing after .*{SLO}"):
        watch(alert(names.BURN_ALERT, "pending", slo=SLO)).wait_for("firing", frozenset)


def test_an_unreachable_inbox_is_empty() -> None:
    """While the inbox starts again, nothing is delivered and nothing is resolved."""
    assert not watch().delivered()
    assert not watch().resolved()


def test_latest_firing_of_an_alert_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of an earlier one is never delivered when the alert fired again at once."""
    labels = {"alertname": names.BURN_ALERT, names.SLO: SLO, names.SEVERITY: "page"}
    inbox: list[dict[str, Any]] = [
        {"labels": labels, "started": 2.0, "resolved": None},
        {"labels": labels, "started": 1.0, "resolved": 1.5},
    ]
    monkeypatch.setattr(alerts, "fetch_delivered_alerts", lambda _: inbox)
    assert watch().required <= watch().delivered()
    assert not watch().resolved()
    inbox[0]["resolved"] = 3.0
    assert watch().resolved()
    inbox.append({"labels": labels | {"tier": "T1"}, "started": 1.0, "resolved": None})
    assert not watch().resolved()
    inbox[-1]["labels"] |= {names.SEVERITY: "ticket"}
    assert watch().resolved()


def test_burn_tickets_may_outlast_a_drill() -> None:
    """Only they look back over days; pages must resolve."""
    burn, breaker = {"alertname": names.BURN_ALERT}, {"alertname": "BreakerOpen"}
    for severity in ("ticket", "task"):  # whatever the policy calls it
        assert alerts.outlasts_drill(burn | {names.SEVERITY: severity}, "page")
        assert not alerts.outlasts_drill(breaker | {names.SEVERITY: severity}, "page")
    assert not alerts.outlasts_drill(burn | {names.SEVERITY: "page"}, "page")


def test_required_alerts_are_identified_by_name_and_slo() -> None:
    """The same alert of another SLO does not count."""
    [(name, slo)] = ROUTE_ERRORS.required
    assert (name, slo) == alerts.identify({"alertname": names.BURN_ALERT, names.SLO: SLO})
    assert alerts.format_alerts({(name, slo), ("TargetDown", "")}) == f"{name} {slo}, TargetDown"


def test_ticket_does_not_stand_for_the_page() -> None:
    """It fires too, but cannot end within a drill; one of another SLO is unexpected."""
    ticket = {names.SEVERITY: "ticket"}
    observed = watch(alert(names.BURN_ALERT, slo=SLO, **ticket))
    observed.observe()
    assert not observed.required & observed.active()
    with pytest.raises(DrillFailed, match="other-slo fired"):
        watch(alert(names.BURN_ALERT, slo="other-slo", **ticket)).observe()
