"""Cases of symptoms share tests, but never with one whose series they would change."""

from dataclasses import replace

from observability.generate.symptom_cases import shared_tests
from observability.spec.plan import Plan


def test_cases_share_a_test_only_where_they_do_not_affect_each_other(plan: Plan) -> None:
    """A symptom that reads what another one's case gives has a test of its own."""
    inputs = (('up{job="api"}', "0x9"),)
    watched = next(alert for alert in plan.alerts if alert.expr)
    first = replace(watched, name="First", expr="up == 0", fires=inputs, silent=())
    reader = replace(watched, name="Reader", expr="absent(up)", fires=(("x", "1x9"),), silent=())
    apart = replace(watched, name="Apart", expr="y > 0", fires=(("y", "1x9"),), silent=())
    tests = shared_tests([first, reader, apart])
    together = [{symptom.name for symptom in test.cases} for test in tests]
    assert not any({"First fires", "Reader fires"} <= cases for cases in together)
    assert any({"First fires", "Apart fires"} <= cases for cases in together)
