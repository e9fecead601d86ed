"""The events of a window: which series the queries read."""

from decimal import Decimal

from observability.slo.queries import covered_seconds, total_and_bad_events
from observability.spec import names
from observability.spec.plan import FINE_PACE, Plan, Window


def test_long_windows_read_thinned_series_and_fall_back(plan: Plan) -> None:
    """Without thinned series six hours ago, the window is counted from every sample."""
    total, bad = total_and_bad_events(plan, plan.period)
    assert f"increase({names.TOTAL}{names.THIN}[30d])" in total
    assert f"and on (slo) {names.OBJECTIVE} offset 6h)" in total
    young = total.partition("offset 6h)")[2]
    assert f"increase({names.TOTAL}[6h])" in young
    assert names.THIN not in young
    assert f"increase({names.BAD}{names.THIN}[30d])" in bad
    covered = covered_seconds(plan, plan.period)
    assert f"count_over_time({names.MEASURED}{names.THIN}[30d]) * 30)" in covered
    assert f"count_over_time({names.MEASURED}[6h]) * 5)" in covered


def test_short_windows_read_every_sample(plan: Plan) -> None:
    """Figures of the last hour are exact to one evaluation."""
    total, _ = total_and_bad_events(plan, Window("1h", Decimal(3600), FINE_PACE))
    assert f"increase({names.TOTAL}[1h])" in total
    assert names.THIN not in total
