"""The impact of a load run: spent budgets, alerts that fired, and resources of the workers."""

from decimal import Decimal

import pytest

from observability.load import impact
from observability.load.server_counts import Increase
from observability.slo import queries, verdicts
from observability.slo.verdicts import Counted
from observability.spec import names
from observability.spec.plan import Plan, Slo
from observability.spec.quantities import parse_duration
from tests.observability.load.support import FakePrometheus

COUNTED = "orders.list-availability"
TIMED = "thingspeak.sync-freshness"


def test_budgets_are_spent_by_events_or_seconds(
    monkeypatch: pytest.MonkeyPatch, plan: Plan
) -> None:
    """Bad events ÷ those that the period allows; SLOs without counted events count seconds.

    A period of which only a tenth has data allows ten times as many as that tenth.
    """
    period = float(plan.period.seconds)
    objective = Decimal("0.99")
    in_period = [
        (
            Slo(COUNTED, "availability", "http", "x", objective, "", ()),
            Counted(1000.0, 5.0, period / 10, period),
        ),
        (
            Slo(
                TIMED, "freshness", "job", "x", objective, "", (), fresh_within=parse_duration("1h")
            ),
            Counted(None, None, 0.0, period, 5.0),
        ),
    ]
    rows = [(slo, counted, 0.0) for slo, counted in in_period]
    monkeypatch.setattr(verdicts, "count_events", lambda *_: rows)
    exprs = ("all_seconds", "bad_seconds")
    monkeypatch.setattr(queries, "total_and_bad_events", lambda *_: exprs)
    prometheus = FakePrometheus(
        all_seconds=[({"slo": TIMED}, 60.0)], bad_seconds=[({"slo": TIMED}, 3.0)]
    )
    counters = {"total": {(COUNTED,): 500.0}, "bad": {(COUNTED,): 2.0}}
    counted, timed = impact.measure_budgets(prometheus, plan, Increase(0, 60, counters))
    assert (counted["slo"], counted["total"], counted["bad"]) == (COUNTED, 500, 2)
    assert counted["allowed"] == pytest.approx(100)
    assert counted["spent"] == pytest.approx(0.02)
    assert counted["left"] == pytest.approx(0.95)
    assert (timed["slo"], timed["total"], timed["bad"]) == (TIMED, 60, 3)
    assert timed["spent"] == pytest.approx(5)
    assert timed["left"] is None


def test_alerts_leave_the_watchdog_out(plan: Plan) -> None:
    """The watchdog always fires; anything else is listed with its SLO, severity and duration."""
    series = [
        ({"alertname": names.WATCHDOG_ALERT, "severity": "none"}, 9.0),
        ({"alertname": names.BURN_ALERT, "slo": "orders.list-probe", "severity": "page"}, 3.0),
    ]
    prometheus = FakePrometheus(**{names.ALERTS: series})
    rows = impact.list_alerts(prometheus, plan, Increase(0, 60, {}))
    assert rows == [
        {"alert": names.BURN_ALERT, "slo": "orders.list-probe", "severity": "page", "seconds": 15.0}
    ]


def test_workers_have_least_mean_and_most(plan: Plan) -> None:
    """A resource without samples has no statistics."""
    prometheus = FakePrometheus(
        **{
            names.WORKER_MEMORY: [],
            "min_over_time": [({}, 0.1)],
            "avg_over_time": [({}, 0.4)],
            "max_over_time": [({}, 0.9)],
        }
    )
    workers = impact.measure_workers(prometheus, plan, Increase(0, 60, {}))
    assert workers == {"cpu": {"min": 0.1, "avg": 0.4, "max": 0.9}, "memory": {}}
